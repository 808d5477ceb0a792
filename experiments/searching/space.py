"""A search space: it is read from its file, and its values are put into a config or a file."""

import json
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from pprint import pformat
from typing import Any

from cnnjax import keys
from cnnjax.engine.config import tuples
from cnnjax.engine.record import write_text
from cnnjax.errors import UserError, unknown
from cnnjax.keys import flatten

from .. import launch

FILE = '''"""{title}

  python -m experiments.train --config=THIS_FILE
"""

from ml_collections import ConfigDict

CONFIG = {config}


def get_config(mode="full"):
  if mode != "full":
    raise ValueError(f"a config that a sweep wrote has no {{mode}} form")
  return ConfigDict(CONFIG).lock()
'''


def read_space(path: str) -> Callable[[Any], dict[str, Any]]:
  """Returns get_space(trial) -> {config key: value} of a file such as configs/spaces/lenet5.py.

  Raises: UserError for a file that is missing, fails, or has no such function. The returned
    function raises UserError where the file's function fails.
  """
  path = launch.find(path, "space")
  get_space = getattr(launch.load_module(path, "space"), "get_space", None)
  if not callable(get_space):
    raise UserError(f"{path} gives no space: it has no function get_space(trial)")

  def space(trial):
    with launch.user_errors(path, "space"):
      return tuples(json.loads(json.dumps(get_space(trial), allow_nan=False)))  # only JSON's types

  return space


def changed(config: Any, values: dict[str, Any]) -> Any:
  """Returns the config with the values of a space.

  Raises: UserError for values that are no dict, an unknown key, or a value of another type than
    the config's.
  """
  if not isinstance(values, dict):
    raise UserError(f"get_space must return {{config key: value}}; found {values!r}")
  known, config = flatten(config.to_dict()), config.copy_and_resolve_references()
  for key, value in values.items():
    if key not in known and key not in keys.FREE:
      raise unknown("config key", key, known)
    *sections, last = key.split(".")
    section = reduce(getattr, sections, config)
    try:
      with config.unlocked():
        section[last] = value
    except TypeError as error:
      raise UserError(f"the space gives {key} {value!r}, but it is {section[last]!r}") from error
  return config.lock()


def write_config(path: Path, config: Any, title: str) -> None:
  """Writes a config file from which launch.read_config returns this config."""
  shown = pformat(config.to_dict(), width=100, sort_dicts=False)
  write_text(path, FILE.format(title=title, config=shown))
