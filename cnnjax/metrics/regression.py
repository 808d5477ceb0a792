"""Metrics of predicted numbers, from sums that add over batches, devices and hosts."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

CONSTANT = 1e-6  # part of the mean square below which a variance is float32's rounding error


def sums(prediction: jax.Array, target: jax.Array, mask: jax.Array) -> dict[str, jax.Array]:
  """Returns sums [T] of prediction [B, T] and target [B, T], where mask [B] is 1.

  `absolute` and `squared` are sums of the errors; `first` and `second` are sums of the first and
  second powers of the target. Prediction and target must be in standard deviations from the
  training split's mean: with a mean near 0, sums in float32 have little rounding error.
  """
  real = (mask > 0)[:, None]
  error, target = jnp.where(real, prediction - target, 0), jnp.where(real, target, 0)
  return {
    "absolute": jnp.abs(error).sum(0),
    "squared": jnp.square(error).sum(0),
    "first": target.sum(0),
    "second": jnp.square(target).sum(0),
    "examples": (mask > 0).sum(dtype=jnp.int32),
  }


def summarise(sums: dict[str, Any], unit: Sequence[float] = (1.0,)) -> dict[str, Any]:
  """Returns the mean absolute error, the root mean squared error, and R2.

  Each is returned for every target, and averaged over the targets. R2 is 1 - (sum of squared
  errors) / (sum of squared distances from the target's mean). Where a target is the same in all
  examples it is 1 without errors and 0 with errors, as in scikit-learn; it is NaN with fewer than
  two examples.

  Args:
    sums: of all batches. With `rows`, of all batches too, the figures also hold `prediction` and
      `target` [N, T] of all examples but the padding.
    unit: size of 1 in the sums, in the targets' own units, [T] or [1].
  """
  n, unit = int(sums["examples"]), np.asarray(unit, np.float64)
  absolute, squared, first, second = (
    np.asarray(sums[key], np.float64) for key in ("absolute", "squared", "first", "second")
  )
  spread = second - first**2 / n
  same = spread <= CONSTANT * second
  r2 = np.where(same, squared == 0, 1 - squared / np.where(same, 1, spread))
  each = {
    "mae": unit * absolute / n,
    "rmse": unit * np.sqrt(squared / n),
    "r2": np.where(np.isnan(squared) | (n < 2), np.nan, r2),
  }
  figures = {name: float(values.mean()) for name, values in each.items()}
  figures["examples"] = n
  figures["per_target"] = [
    {name: _known(value) for name, value in zip(each, row)} for row in zip(*each.values())
  ]
  if "rows" in sums:
    real = sums["rows"]["mask"] > 0
    figures["pairs"] = {key: sums["rows"][key][real] for key in ("prediction", "target")}
  return figures


def _known(value: float) -> float | None:
  return None if np.isnan(value) else float(value)
