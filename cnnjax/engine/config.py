"""A run's config: checked, completed from the data, kept as JSON, turned into a model."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.data import pipeline
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.models import zoo
from cnnjax.ops.preprocess import Preprocessing

LOWEST = {  # config keys whose values have a lower bound
  "data.batch_size": 1,
  "data.validation": 0,
  "train.accumulate": 1,
  "train.ema": 0,
  "train.epochs": 0,
  "train.evaluate_every": 0,
  "train.log_every": 1,
  "checkpoint.every": 0,
  "checkpoint.keep": 1,
  "mesh.devices": 0,
  "optim.clip_norm": 0,
  "optim.warmup_epochs": 0,
}


def complete(config: Any, splits: dict[str, Table]) -> Any:
  """Returns the config with what only the data tell: classes, mean and deviation.

  Raises: UserError where a value is below its bound, or the data have other classes.
  """
  config = config.copy_and_resolve_references()
  flat = flatten(config.to_dict())
  for key, lowest in LOWEST.items():
    if key not in flat:
      raise UserError(f"the config has no {key}")
    if not flat[key] >= lowest:
      raise UserError(f"{key} must be at least {lowest}, found {flat[key]}")
  if config.checkpoint.mode not in ("max", "min"):
    raise UserError(f'checkpoint.mode must be "max" or "min", found {config.checkpoint.mode!r}')
  train = splits["train"]
  with config.unlocked():
    if config.data.root:
      config.data.root = str(Path(config.data.root).expanduser().resolve())
    config.data.classes = config.data.classes or train.classes
    config.model.num_classes = config.model.num_classes or len(train.classes)
    if not config.data.mean:
      config.data.mean, config.data.std = pipeline.moments(train)
    config.data.channels = config.data.channels or train.columns["image"].shape[-1]
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


def build(config: Any) -> Any:
  """Returns the model that a completed config names, with the run's own preprocessing."""
  data, model = config.data, config.model
  preprocessing = Preprocessing(
    resize=_size("data.resize", data.resize),
    crop=_size("data.crop", data.crop),
    channels=data.channels,
    mean=tuple(data.mean),
    std=tuple(data.std),
  )
  return zoo.create_model(
    model.name,
    num_classes=model.num_classes,
    dtype=model.dtype,
    preprocessing=preprocessing,
    **model.arguments,
  )


def _size(key: str, value: Any) -> tuple[int, int] | None:
  if not value:
    return None
  if len(value) != 2 or not all(isinstance(v, int) and v > 0 for v in value):
    raise UserError(f"{key} must be (height, width) in pixels, or () for none; found {value}")
  return tuple(value)


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
    return ConfigDict(tuples(json.loads(path.read_text()))).lock()
  except ValueError as error:
    raise UserError(f"{path} is damaged: {error}") from error


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
