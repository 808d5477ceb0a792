"""What a user can get wrong, said in one sentence."""

import difflib
import sys
from collections.abc import Iterable


class UserError(ValueError):
  """A mistake in what was asked for; scripts print its one sentence and exit with status 2."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
  """Returns the error for a name that is in no table, with the nearest that are."""
  known = sorted(known)
  near = difflib.get_close_matches(str(name), known, n=2, cutoff=0.6)
  hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
  return UserError(f"unknown {kind} {name!r}; {hint}")


def say(text: str) -> None:
  """Prints on standard error what a user should know, though nothing is wrong enough to end."""
  print(text, file=sys.stderr, flush=True)


def some(names: Iterable[str], separator: str = ", ", count: int = 4) -> str:
  """Returns the first of some names, and how many more there are."""
  names = list(names)
  more = f"{separator}and {len(names) - count} more" if len(names) > count else ""
  return separator.join(names[:count]) + more
