"""A run's config: checked, completed from the data, kept as JSON, turned into a model."""

import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax import tasks
from cnnjax.data import augment, pipeline
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.models import zoo
from cnnjax.ops.preprocess import Preprocessing

KEYS = {  # what every config has, and where its numbers lie: from low, below high
  "seed": (0, 2**32),
  "model.name": None,
  "model.num_classes": (0, math.inf),
  "model.dtype": None,
  "model.arguments": None,
  "data.name": None,
  "data.root": None,
  "data.arguments": None,
  "data.proposals": None,
  "data.batch_size": (1, math.inf),
  "data.fraction": (0, math.inf),
  "data.sampling": None,
  "data.validation": (0, 1),
  "data.folds": (0, math.inf),
  "data.fold": (0, math.inf),
  "data.resize": None,
  "data.crop": None,
  "data.channels": (0, math.inf),
  "data.mean": None,
  "data.std": None,
  "data.classes": None,
  "augment": None,
  "task.name": None,
  "optim.name": None,
  "optim.arguments": None,
  "optim.learning_rate": (0, math.inf),
  "optim.schedule": None,
  "optim.warmup_epochs": (0, math.inf),
  "optim.warmup_start": (0, 1),
  "optim.milestones": None,
  "optim.decay": (0, math.inf),
  "optim.clip_norm": (0, math.inf),
  "optim.weight_decay": (0, math.inf),
  "optim.penalties": None,
  "optim.decoupled": None,
  "optim.rates": None,
  "init.source": None,
  "init.trunk_only": None,
  "init.frozen_statistics": None,
  "init.from_images": (0, math.inf),
  "train.epochs": (0, math.inf),
  "train.watch": None,
  "train.evaluate_every": (0, math.inf),
  "train.patience": (0, math.inf),
  "train.log_every": (1, math.inf),
  "train.ema": (0, 1),
  "train.lookahead": (0, math.inf),
  "train.accumulate": (1, math.inf),
  "train.steps_per_dispatch": (0, math.inf),
  "checkpoint.every": (0, math.inf),
  "checkpoint.keep": (1, math.inf),
  "checkpoint.best": None,
  "checkpoint.mode": None,
  "mesh.devices": (0, math.inf),
  "mesh.parameters": None,
  "mesh.deterministic": None,
}
MORE = {
  "task.label_smoothing": (0, 1),
  "task.aux_weight": (0, math.inf),
  "task.views": None,
  "task.class_weights": None,
  "task.positive_weights": None,
  "task.delta": (0, math.inf),
  "task.mean": None,
  "task.std": None,
}  # keys that only some configs have
SINCE = {  # what a run of before these keys has done
  "data.proposals": {},
  "data.fraction": 1.0,
  "data.sampling": "uniform",
  "optim.warmup_start": 0.0,
  "optim.penalties": (),
  "optim.decoupled": False,
  "optim.rates": (),
  "init.source": "",
  "init.trunk_only": False,
  "init.frozen_statistics": False,
  "init.from_images": 0,
  "train.patience": 0,
  "train.lookahead": 0,
}


def resolve(config: Any) -> tuple[Any, dict[str, Table]]:
  """Returns the config completed from its data, and the data's splits as its network wants them.

  Raises: UserError for whatever in the config or the data is not as it should be.
  """
  from cnnjax.data import catalogue
  from cnnjax.data.image import prepare

  check(config)
  splits = catalogue.load(config.data, config.seed)
  config = complete(config, splits)
  preprocessing = build(config).preprocessing
  return config, {name: prepare(table, preprocessing) for name, table in splits.items()}


def complete(config: Any, splits: dict[str, Table]) -> Any:
  """Returns the config with what only the data tell: classes, size, channels, mean and deviation.

  Raises: UserError where the values do not fit together, or do not fit the data.
  """
  from cnnjax.data.image import prepare  # Pillow: not needed to build and train

  config = config.copy_and_resolve_references()
  data, train = config.data, splits["train"]
  height, width, channels = train.columns["image"].shape[1:]
  with config.unlocked():
    with config.ignore_type():  # "balanced" becomes numbers
      config.task.update(tasks.complete(config.task, splits))
    if data.root:
      data.root = str(Path(data.root).expanduser().resolve())
    source = config.init.source
    if source and Path(source).expanduser().exists():  # else it is of the hub, or wrong
      config.init.source = str(Path(source).expanduser().resolve())
    data.classes = data.classes or train.classes
    config.model.num_classes = config.model.num_classes or len(train.classes)
    if not data.resize and not data.crop:
      data.resize = (height, width)
    data.channels = data.channels or channels
    if not data.mean and not data.std:
      same = data.channels == channels
      seen = train if same else prepare(train, Preprocessing(channels=data.channels))
      data.mean, data.std = pipeline.moments(seen)
  for key in ("mean", "std"):
    if len(data[key]) not in (1, data.channels) or not all(map(math.isfinite, data[key])):
      raise UserError(
        f"data.{key} must be one number, or one for each of {data.channels} channels, or () "
        f"together with the other of mean and std to be measured; found {data[key]}"
      )
  if min(data.std) <= 0:
    raise UserError(f"data.std must be above 0, found {data.std}")
  if len(config.data.classes) != len(train.classes):
    raise UserError(
      f"data.classes names {len(config.data.classes)} classes, but the data have "
      f"{len(train.classes)}: {train.classes}"
    )
  if config.model.num_classes != len(train.classes):
    raise UserError(
      f"model.num_classes is {config.model.num_classes}, but the data have {len(train.classes)} "
      "classes; leave it at 0 to take theirs"
    )
  return config.lock()


def check(config: Any) -> None:
  """Raises: UserError for a key that is missing, or a number out of its bounds."""
  flat = flatten(config.to_dict())
  for key in KEYS.keys() - flat.keys():
    if not any(known.startswith(f"{key}.") for known in flat):  # an open section, such as arguments
      raise UserError(f"the config has no {key}")
  for key, bounds in (KEYS | MORE).items():
    if bounds and key in flat:
      value, (low, high) = flat[key], bounds
      if not isinstance(value, int | float) or not low <= value < high:
        above = f" and below {high}" if high < math.inf else ", and finite"
        raise UserError(f"{key} must be a number of at least {low}{above}; found {value!r}")
  augment.check(config.augment)
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
  if config.checkpoint.mode not in ("max", "min"):
    raise UserError(f'checkpoint.mode must be "max" or "min", found {config.checkpoint.mode!r}')


def build(config: Any) -> Any:
  """Returns the model that a completed config names, with the run's own preprocessing."""
  data, model = config.data, config.model
  return zoo.create_model(
    model.name,
    num_classes=model.num_classes,
    dtype=model.dtype,
    preprocessing=pipeline.preprocessing(data),
    **model.arguments,
  )


def example(model: Any) -> jax.Array:
  """Returns an input that a model's variables can be made with."""
  return jnp.zeros((1, *model.preprocessing.shape), jnp.float32)


def load_config(folder: str | Path) -> Any:
  """Returns the config of a run folder. Raises: UserError where there is none."""
  from ml_collections import ConfigDict

  path = Path(folder) / "config.json"
  if not Path(folder).is_dir():
    raise UserError(f"no run folder at {folder}")
  if not path.exists():
    raise UserError(f"{folder} holds no run: it has no config.json")
  try:
    tree = tuples(json.loads(path.read_text()))
    for key, value in SINCE.items():
      group, name = key.split(".")
      tree.setdefault(group, {}).setdefault(name, value)
    config = ConfigDict(tree)
    check(config.lock())
  except (ValueError, TypeError, AttributeError) as error:
    raise UserError(f"{path} is damaged: {error}") from error
  return config


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """Returns {"optim.learning_rate": ...} for {"optim": {"learning_rate": ...}}."""
  flat = {}
  for key, value in tree.items():
    nested = isinstance(value, dict) and value
    flat |= flatten(value, f"{prefix}{key}.") if nested else {prefix + key: value}
  return flat


def tuples(value: Any) -> Any:
  """Returns a tree with tuples for lists: JSON has lists where configs have tuples."""
  if isinstance(value, dict):
    return {k: tuples(v) for k, v in value.items()}
  return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value
