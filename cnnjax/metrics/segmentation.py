"""Metrics of class maps, from sums that add over batches, devices and hosts."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.ops.segmentation import VOID, cross_entropy

Sums = dict[str, Any]


def pixels(logits: jax.Array, truth: jax.Array) -> dict[str, jax.Array]:
  """Returns what is kept of logits [B, *S, C]: `segments` uint8 and `cost` float32, both [B, *S].

  The first is the best class, `VOID` where a logit is not a number; the second the cross-entropy
  with the truth [B, *S], 0 where that is void.
  """
  answered = ~jnp.isnan(logits).any(-1)
  best = jnp.where(answered, logits.argmax(-1), VOID).astype(jnp.uint8)
  return {"segments": best, "cost": cross_entropy(logits, truth)}


def sums(
  found: Mapping[str, jax.Array], truth: jax.Array, mask: jax.Array, classes: int
) -> dict[str, jax.Array]:
  """Returns counts of answers `found`, of `pixels`, against the truth, where mask [B] is 1.

  `confusion` [C, C + 1] counts pixels by true and predicted class; the last column holds those
  without an answer. `dice` [C] is the sum over examples of each class's Dice coefficient, `cases`
  [C] the number of examples that have the class, in the truth or the answer. `loss` is the sum of
  the costs. Pixels that are void in the truth are left out of all of them.
  """
  real, known = mask > 0, truth != VOID
  row = jnp.where(known, truth, classes).astype(jnp.int32)
  column = jnp.minimum(found["segments"], classes).astype(jnp.int32)
  place = (row * (classes + 1) + column).reshape(len(truth), -1)
  count = jax.vmap(lambda one: jnp.zeros((classes + 1) ** 2, jnp.int32).at[one].add(1))(place)
  count = count.reshape(-1, classes + 1, classes + 1)[:, :classes] * real[:, None, None]
  both, own = jnp.diagonal(count, axis1=1, axis2=2), count.sum(2)
  union = own + count.sum(1)[:, :classes]
  each = jnp.where(union > 0, 2 * both / jnp.maximum(union, 1), 0)
  cost = found["cost"].reshape(len(truth), -1).sum(1)
  return {
    "confusion": count.sum(0),
    "dice": each.sum(0),
    "cases": (union > 0).sum(0, dtype=jnp.int32),
    "loss": jnp.sum(jnp.where(real, cost, 0)),
    "examples": real.sum(dtype=jnp.int32),
  }


def summarise(sums: Sums) -> dict[str, Any]:
  """Returns the figures of an evaluation from its sums.

  `pixel_accuracy` is the part of all pixels that are right, `mean_accuracy` the mean over the true
  classes of the part of their pixels that are right; `mean_iou` and `dice` are means over classes
  of figures of all examples' pixels together, and `case_dice` is the mean over classes of the mean
  over those examples that have the class. A class that is neither in the truth nor in an answer is
  left out of all means. `not_finite`, where there are any, counts pixels without an answer.
  """
  whole = np.asarray(sums["confusion"], np.int64)
  confusion, total = whole[:, :-1], whole.sum()
  right, own, given = np.diag(confusion), whole.sum(1), confusion.sum(0)
  union = own + given - right
  each = {
    "iou": _parts(right, union),
    "dice": _parts(2 * right, own + given),
    "case_dice": _parts(np.asarray(sums["dice"], np.float64), np.asarray(sums["cases"])),
    "accuracy": _parts(right, own),
    "precision": _parts(right, given),
  }
  rows = [
    {**{name: _known(value) for name, value in zip(each, row)}, "pixels": int(n)}
    for *row, n in zip(*each.values(), own)
  ]
  lost = int(whole[:, -1].sum())
  return {
    "loss": float(sums["loss"]) / max(int(total), 1),
    "pixel_accuracy": float(_parts(right.sum(), total)),
    "mean_accuracy": _mean(each["accuracy"]),
    "mean_iou": _mean(each["iou"]),
    "dice": _mean(each["dice"]),
    "case_dice": _mean(each["case_dice"]),
    "examples": int(sums["examples"]),
    **({"not_finite": lost} if lost else {}),
    "per_class": rows,
    "confusion": confusion.tolist(),
  }


def _parts(some: np.ndarray, of: np.ndarray) -> np.ndarray:
  """Returns some / of, NaN where `of` is 0."""
  return np.divide(some, of, out=np.full(np.shape(of), np.nan), where=np.asarray(of) > 0)


def _mean(values: np.ndarray) -> float:
  return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _known(value: float) -> float | None:
  return None if np.isnan(value) else float(value)
