"""Lists the keys of a config: python -m experiments.keys [PART_OF_A_NAME].

The table shows each key's default, bounds and meaning, and the tasks or kinds of input that have
it, where not all do.
"""

from cnnjax.engine import log
from cnnjax.errors import UserError, unknown
from cnnjax.keys import KEYS, Key

from . import launch


def bounds_of(key: Key) -> str:
  """Returns a key's bounds in words; the lower bound is included, the upper one is not."""
  if not key.bounds or isinstance(key.bounds[0], str):
    return ", ".join(key.bounds)
  low, high = key.bounds
  return f"{low:g} to {high:g}" if high < float("inf") else f"from {low:g}"


def main(argv: list[str]) -> None:
  """Prints the table."""
  if len(argv) > 2:
    raise UserError(f"name one part of a key's name, not {len(argv) - 1}")
  part = argv[1] if argv[1:] else ""
  found = {name: key for name, key in KEYS.items() if part in name}
  if not found:
    raise unknown("config key", part, KEYS)
  log.grid(
    "keys of a config",
    {
      name: {
        "default": repr(key.default),
        "bounds": bounds_of(key),
        "only": ", ".join(key.only),
        "meaning": key.meaning,
      }
      for name, key in found.items()
    },
  )


if __name__ == "__main__":
  launch.run(main)
