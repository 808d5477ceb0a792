"""A run's config: it is checked, completed from the data, read from JSON, and turned into a model.

`cnnjax/keys.py` is the table of its keys.
"""

import math
from pathlib import Path
from typing import Any

from cnnjax import keys, tasks
from cnnjax.data import inputs
from cnnjax.data.table import Table
from cnnjax.engine.record import read_json
from cnnjax.engine.splits import load_splits
from cnnjax.errors import UserError
from cnnjax.models import zoo


def resolve(
  config: Any, root: str | Path = "", folder: str | Path | None = None
) -> tuple[Any, dict[str, Table]]:
  """Returns the config completed from its data, and the data's splits prepared for its network.

  The arguments are those of `load_splits`.

  Raises: UserError for anything that is wrong in the config or the data.
  """
  config = with_defaults(config)
  check(config)
  splits = load_splits(config, root, folder)
  config = complete(config, splits)
  to, kind = build(config).preprocessing, inputs.kind(config.data.input)
  return config, {name: kind.prepare(table, to) for name, table in splits.items()}


def with_defaults(config: Any) -> Any:
  """Returns a copy of a config in which missing keys have their defaults."""
  from ml_collections import ConfigDict

  return ConfigDict(keys.fill(config.to_dict())).lock()


def complete(config: Any, splits: dict[str, Table]) -> Any:
  """Returns the config with what must be read from the data: classes, shapes, mean and deviation.

  Raises: UserError where the values do not fit together, or do not fit the data.
  """
  config = config.copy_and_resolve_references()
  data, train = config.data, splits["train"]
  kind = inputs.kind(data.input)
  if not {*kind.COLUMNS} <= {*train.columns}:
    raise UserError(
      f"data.input is {data.input}, but {' '.join(filter(None, (data.name, data.root)))} holds "
      f"{inputs.of_columns(train.columns) or ', '.join(train.columns)}"
    )
  with config.unlocked():
    with config.ignore_type():  # "balanced" becomes numbers
      config.task.update(tasks.complete(config.task, splits))
    if data.root:
      data.root = str(Path(data.root).expanduser().resolve())
    source = config.init.source
    if source and Path(source).expanduser().exists():  # else it is a hub id, or wrong
      config.init.source = str(Path(source).expanduser().resolve())
    data.classes = data.classes or train.classes
    config.model.num_classes = config.model.num_classes or len(train.classes)
    data.update(kind.complete(data, train))
  _check_measured(data)
  if len(config.data.classes) != len(train.classes):
    raise UserError(
      f"data.classes names {len(config.data.classes)} classes, but the data have "
      f"{len(train.classes)}: {train.classes}"
    )
  if config.model.num_classes != len(train.classes):
    raise UserError(
      f"model.num_classes is {config.model.num_classes}, but the data have {len(train.classes)} "
      "classes; leave it at 0 to take theirs, or name all of the network's in data.classes"
    )
  return config.lock()


def _check_measured(data: Any) -> None:
  """Raises: UserError for a mean or deviation that does not fit the channels of the data."""
  for key in ("mean", "std"):
    if len(data[key]) not in (1, data.channels) or not all(map(math.isfinite, data[key])):
      raise UserError(
        f"data.{key} must be one number, or one for each of {data.channels} channels, or () "
        f"together with the other of mean and std to be measured; found {data[key]}"
      )
  if min(data.std) <= 0:
    raise UserError(f"data.std must be above 0, found {data.std}")


def check(config: Any) -> None:
  """Raises: UserError for a key that is missing or unknown, or a value out of its bounds."""
  kind = inputs.kind(config.data.input)
  tasks.find(config.task.name)
  keys.check(config.to_dict())
  kind.check(config.augment)
  if not 0 < config.data.fraction <= 1:
    raise UserError(f"data.fraction must be above 0 and at most 1; found {config.data.fraction}")
  folds, fold = config.data.folds, config.data.fold
  if folds == 1 or fold >= max(folds, 1):
    raise UserError(
      "data.folds must be 0 for none or at least 2, and data.fold one of them, counted from 0; "
      f"found fold {fold} of {folds}"
    )
  if config.train.patience and not (config.train.watch and config.checkpoint.best):
    raise UserError(
      f"train.patience {config.train.patience} needs train.watch, the split to look at, and "
      "checkpoint.best, the figure of it; one of them is empty"
    )
  if config.train.patience and config.train.watch == "test":
    raise UserError("train.patience must not choose by the test split; set train.watch to another")
  if config.train.lookahead and not config.train.ema:
    raise UserError(
      f"train.lookahead {config.train.lookahead} needs train.ema, the decay of the average that "
      "training goes back to; it is 0"
    )
  if config.init.source and config.init.from_images:
    raise UserError(
      f"init.source {config.init.source} and init.from_images {config.init.from_images} both say "
      "what to begin with; leave one of them empty"
    )


def build(config: Any) -> Any:
  """Returns the model that a completed config names, with the config's preprocessing."""
  data, model = config.data, config.model
  return zoo.create_model(
    model.name,
    num_classes=model.num_classes,
    dtype=model.dtype,
    preprocessing=inputs.kind(data.input).preprocessing(data),
    **model.arguments,
  )


def load_config(folder: str | Path) -> Any:
  """Returns the config of a run folder. Raises: UserError where there is none, or it is damaged."""
  from ml_collections import ConfigDict

  path = Path(folder) / "config.json"
  if not Path(folder).is_dir():
    raise UserError(f"no run folder at {folder}")
  if not path.exists():
    raise UserError(f"{folder} holds no run: it has no config.json")
  try:
    config = ConfigDict(keys.fill(tuples(read_json(path, dict)))).lock()
    check(config)
    inputs.kind(config.data.input).preprocessing(config.data)
  except (ValueError, TypeError, AttributeError) as error:
    raise UserError(f"{path} is damaged: {error}") from error
  return config


def load_completed(folder: str | Path) -> Any:
  """Returns the config of a run folder, with all that its data have told.

  Raises: UserError where there is none, or it is damaged.
  """
  config = load_config(folder)
  data, count = config.data, config.model.num_classes
  try:
    if data.channels < 1 or count != len(data.classes):
      raise UserError(
        f"data.channels is {data.channels}, model.num_classes {count}, and data.classes has "
        f"{len(data.classes)} names"
      )
    _check_measured(data)
  except UserError as error:
    raise UserError(f"{Path(folder) / 'config.json'} is damaged: {error}") from error
  return config


def tuples(value: Any) -> Any:
  """Returns a tree with each list made a tuple: JSON has lists where configs have tuples."""
  if isinstance(value, dict):
    return {k: tuples(v) for k, v in value.items()}
  return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value
