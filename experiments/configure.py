"""Writes a config for a set of volumes: python -m experiments.configure --data=FOLDER.

It looks at the training split, and chooses spacing, normalisation, window, depth and batch as
nnU-Net does, for a device with --memory=8GiB; the file that it writes, --out, says why, with the
figures. --compile compiles the step that it chose, and says what the compiler answers.

The set lies as data.name=volumes reads it: imagesTr and labelsTr, as the Medical Segmentation
Decathlon's; --arguments says other names, in the form of config.data.arguments.
"""

import ast
import re
from pathlib import Path
from typing import Any

from absl import flags

from cnnjax.data.catalogue import load
from cnnjax.engine.record import write_text
from cnnjax.errors import UserError
from cnnjax.keys import defaults

from . import launch
from .planning.memory import compiled, estimated
from .planning.plan import gib, plan
from .planning.seen import look
from .planning.text import written

FLAGS = flags.FLAGS
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def bytes_of(text: str) -> int:
  """Returns the bytes of "8GiB", "500 MB" or "2e9". Raises: UserError for what is no size."""
  found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([KMGT]?)(i?B)?\s*", text, re.IGNORECASE)
  try:
    return int(float(found[1]) * UNITS[found[2].upper()])
  except (TypeError, ValueError):
    raise UserError(f"--memory is {text!r}; expected a size such as 8GiB") from None


def arguments_of(text: str) -> dict[str, Any]:
  """Returns a dict that is written as Python writes it. Raises: UserError for anything else."""
  try:
    found = ast.literal_eval(text or "{}")
    assert isinstance(found, dict)
  except (AssertionError, SyntaxError, ValueError):
    raise UserError(f"--arguments is {text!r}; expected a dict such as {{'images': ...}}") from None
  return found


def main(argv: list[str]) -> None:
  """Looks, plans, writes."""
  if argv[1:] or not FLAGS.data:
    raise UserError("configure takes flags only, and needs --data=FOLDER")
  memory, root = bytes_of(FLAGS.memory), Path(FLAGS.data).expanduser()
  config, out = defaults("segmentation", "volume"), Path(FLAGS.out).expanduser()
  if out.suffix != ".py" or out.exists():
    what = "is there already" if out.exists() else "is no name of a config"
    raise UserError(f"--out {out} {what}; expected the name of a new file, ending in .py")
  arguments = arguments_of(FLAGS.arguments)
  config.data.update(name="volumes", root=str(root), arguments=arguments)
  table = load(config.data, config.seed)["train"]
  print(f"looks at {len(table)} volumes in {root}")
  seen = look(table, root)
  cost = lambda *sizes: estimated(*sizes, seen.channels, len(seen.classes))  # noqa: E731
  chosen = plan(seen, memory, FLAGS.width, cost)
  for key, why in chosen.reasons.items():
    print(f"{key}: {why}")
  out.parent.mkdir(parents=True, exist_ok=True)
  write_text(out, written(chosen, seen, root.name, FLAGS.out, arguments, FLAGS.steps))
  print(f"wrote {out}")
  if FLAGS.compile:
    sizes = chosen.tile, chosen.batch, chosen.widths, chosen.pools
    needed = compiled(*sizes, seen.channels, len(seen.classes))
    print(f"the compiled step needs {gib(needed)}; estimated were {gib(chosen.bytes)}")
  print(f"next: python -m experiments.train --config={out} --config.data.root={root}")


if __name__ == "__main__":
  flags.DEFINE_string("data", "", "the folder of the set")
  flags.DEFINE_string("memory", "8GiB", "of the device, that a step may take")
  flags.DEFINE_string("out", "configure.py", "the config that is written")
  flags.DEFINE_string("arguments", "", "of the source volumes, as a Python dict")
  flags.DEFINE_integer("width", 32, "channels of the first level", lower_bound=1)
  flags.DEFINE_integer("steps", 20_000, "of the training", lower_bound=1)
  flags.DEFINE_bool("compile", False, "compile the step, on this machine, for its real memory")
  launch.run(main)
