"""The variables that a training begins with: from another run, from a file, or from the data."""

import warnings
from functools import partial
from typing import Any

import jax
import numpy as np

from cnnjax.checkpoints.transfer import load_pretrained
from cnnjax.data import inputs
from cnnjax.data.table import Table
from cnnjax.errors import UserError

Start = tuple[dict[str, Any], list[str]]


def begin(config: Any, model: Any, table: Table) -> Start | None:
  """Returns the variables to begin with and lines to print about them; None for fresh variables.

  Args:
    config: completed.
    model: that the config names.
    table: of the training split.

  Raises: UserError where the config's source is not there, or does not fit the model.
  """
  if config.init.source:
    return pretrained(config, model)
  return from_images(config, model, table) if config.init.from_images else None


def pretrained(config: Any, model: Any) -> Start:
  """Returns the model's variables with the weights of init.source, and lines to print about them.

  Raises: UserError where the source cannot be read, or does not fit the model.
  """
  with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    variables = load_pretrained(
      config.model.name,
      config.init.source,
      seed=config.seed,
      trunk_only=config.init.trunk_only,
      classes=config.data.classes,
      num_classes=config.model.num_classes,
      preprocessing=model.preprocessing,
      **config.model.arguments,
    )
  part = "the trunk of " if config.init.trunk_only else ""
  warned = [str(w.message) for w in said if issubclass(w.category, UserWarning)]
  return variables, [f"{part}{config.init.source}", *warned]


def from_images(config: Any, model: Any, table: Table) -> Start:
  """Returns variables that the model makes from init.from_images images, and lines to print.

  The images are spread evenly over the table, so that all classes are among them even where the
  table is sorted.

  Raises: UserError for a model without a layer that is made from images.
  """
  if not hasattr(model, "from_images"):
    raise UserError(
      f"init.from_images is {config.init.from_images}, but {config.model.name} has no layer that "
      "is made from images; leave it at 0"
    )
  count = min(int(config.init.from_images), len(table))
  indices = np.arange(count) * len(table) // count
  batch = {key: table.columns[key][indices] for key in inputs.kind(config.data.input).COLUMNS}
  seen = inputs.read(inputs.scale(batch, model.preprocessing))
  init = jax.jit(partial(model.init, train=False))
  variables = jax.device_get(init(jax.random.key(config.seed), inputs.empty(model.preprocessing)))
  said = f"its first layer made from {count} training images"
  return model.from_images(variables, np.asarray(seen)), [said]
