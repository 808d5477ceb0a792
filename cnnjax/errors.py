"""What a user can get wrong, said in one sentence."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
  """A mistake in what was asked for; scripts print its one sentence and exit with status 2."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
  """Returns the error for a name that is in no table, with the nearest that are."""
  known = sorted(known)
  near = difflib.get_close_matches(str(name), known, n=2, cutoff=0.6)
  hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
  return UserError(f"unknown {kind} {name!r}; {hint}")
