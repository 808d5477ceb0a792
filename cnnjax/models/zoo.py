"""The one table of names: every model that cnnjax can make."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError, unknown
from cnnjax.models.classification.lenet import LeNet5
from cnnjax.models.classification.lenet_1998 import LeNet51998


class Row(NamedTuple):
  """A model: its constructor, task, input [H, W, C], published parameter count and paper."""

  make: Callable[..., nn.Module]
  task: str
  input: tuple[int, ...]
  parameters: int
  paper: str


ZOO = {
  "lenet5": Row(LeNet5, "classification", (32, 32, 3), 62_006, "course/000, LeNet-5"),
  "lenet5_1998": Row(LeNet51998, "classification", (32, 32, 1), 60_000, "LeCun et al. 1998"),
}  # fmt: skip

DTYPES = ("float32", "bfloat16", "float16", "float64")


def row(name: str) -> Row:
  """Returns the zoo's row of a name. Raises: UserError with the nearest names."""
  if name not in ZOO:
    raise unknown("model", name, ZOO)
  return ZOO[name]


def list_models(task: str | None = None) -> list[str]:
  """Returns the names of all models, or of those for one task."""
  return [name for name, r in ZOO.items() if task in (None, r.task)]


def _dtype(dtype: Any) -> jnp.dtype:
  name = dtype if isinstance(dtype, str) else jnp.dtype(dtype or "float32").name
  if name not in DTYPES:
    raise unknown("dtype", name, DTYPES)
  if jax.dtypes.canonicalize_dtype(name) != jnp.dtype(name):
    raise UserError("dtype float64 needs JAX_ENABLE_X64=1; without it jax computes in float32")
  return jnp.dtype(name)


def create_model(name: str, **arguments: Any) -> nn.Module:
  """Returns a model by its name, e.g. create_model("lenet5", num_classes=4, dtype="bfloat16").

  Raises: UserError for an unknown name, a dtype that no model computes in, or an argument that this
    model does not take.
  """
  make = row(name).make
  if "dtype" in arguments:
    arguments["dtype"] = _dtype(arguments["dtype"])
  try:
    return make(**arguments)
  except TypeError as error:
    raise UserError(f"model {name}: {error}") from error
