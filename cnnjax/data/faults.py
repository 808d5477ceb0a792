"""Faults of single examples: they end the run, or are counted and left out, as `on_error` says."""

from collections.abc import Callable, Sequence
from typing import Any

from cnnjax.errors import UserError, say, unknown

WAYS = ("raise", "skip")
SKIP = "data.arguments.on_error=skip leaves such examples out, and counts them"
SHOWN = 20  # faults that are printed; the rest are counted


def attempt(function: Callable[[], Any], on_error: str) -> Any:
  """Returns function(), or with on_error "skip" the UserError that it raises.

  Raises: UserError as the function does, and how to leave such examples out; and for an unknown
    `on_error`.
  """
  if on_error not in WAYS:
    raise unknown("data.arguments.on_error", str(on_error), WAYS)
  try:
    return function()
  except UserError as error:
    if on_error == "skip":
      return error
    raise UserError(f"{error}; {SKIP}") from error


def kept(found: Sequence[Any], what: str) -> list[Any]:
  """Returns what is no error, and prints on standard error how many errors there are, and which.

  Raises: UserError where all are errors.
  """
  errors = [one for one in found if isinstance(one, UserError)]
  if errors and len(errors) == len(found):
    raise UserError(f"none of the {len(found)} {what} can be read; {errors[0]}")
  if errors:
    rest = [f"and {len(errors) - SHOWN} more"] if len(errors) > SHOWN else []
    lines = [f"left out {len(errors)} of {len(found)} {what}:", *map(str, errors[:SHOWN]), *rest]
    say("\n".join(lines))
  return [one for one in found if not isinstance(one, UserError)]
