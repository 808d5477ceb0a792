"""The command `cnnjax`: `cnnjax train --config=NAME` is `python -m experiments.train ...`."""

import ast
import importlib.util
import runpy
import sys
from pathlib import Path

from cnnjax.errors import say, unknown

HELPERS = ("__init__", "launch")  # modules beside the verbs that are no verbs


def room() -> str:
  """Returns the package of the verbs: in cnnjax where it is installed, beside it in a checkout."""
  return next(p for p in ("cnnjax.experiments", "experiments") if importlib.util.find_spec(p))


def verbs() -> dict[str, str]:
  """Returns each verb with a line about it: its script's first line up to the colon."""
  folder = Path(next(iter(importlib.util.find_spec(room()).submodule_search_locations)))
  files = (file for file in sorted(folder.glob("*.py")) if file.stem not in HELPERS)
  return {file.stem: _first_line(file).partition(": python")[0] for file in files}


def _first_line(file: Path) -> str:
  return ast.get_docstring(ast.parse(file.read_text())).splitlines()[0]


def main() -> None:
  """Runs the verb that the command line names, or lists them."""
  known = verbs()
  verb = sys.argv[1] if sys.argv[1:] else "--help"
  if verb in known:
    sys.argv = sys.argv[1:]
    runpy.run_module(f"{room()}.{verb}", run_name="__main__", alter_sys=True)
  elif verb in ("-h", "-help", "--help"):
    print("cnnjax VERB [--FLAG=VALUE ...]; cnnjax VERB --help lists its flags\n")
    width = max(map(len, known))
    print("\n".join(f"  {name:{width}}  {does}" for name, does in known.items()))
  else:
    say(f"error: {unknown('verb', verb, known)}")
    sys.exit(2)
