"""Metrics of masks that answer prompts: of each object, from sums over groups of objects."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.ops.segmentation import VOID

Sums = dict[str, Any]
OF_OBJECTS = ("dice", "iou", "iou_error")


def overlap(found: jax.Array, truth: jax.Array) -> dict[str, jax.Array]:
  """Returns `dice` and `iou` [B] of masks and their objects; 1 where both have no pixel.

  Args:
    found: masks, bool [B, H, W].
    truth: 1 at an object's pixels, 0 beside it, or `VOID`, uint8 [B, H, W].
  """
  known, own = truth != VOID, truth == 1
  count = lambda pixels: jnp.sum(pixels & known, (1, 2))  # noqa: E731
  both, either = count(found & own), count(found | own)
  part = lambda some, of: jnp.where(of > 0, some / jnp.maximum(of, 1), 1)  # noqa: E731
  return {"dice": part(2 * both, both + either), "iou": part(both, either)}


def sums(
  each: Mapping[str, jax.Array], group: jax.Array, mask: jax.Array, groups: int
) -> dict[str, jax.Array]:
  """Returns the sums [G] of figures [B] of objects by group, and `objects` [G], where mask is 1.

  Args:
    each: figures by name.
    group: of each object, [B].
    mask: 1 for a real object, [B].
    groups: G.
  """
  own = (group[:, None] == jnp.arange(groups)) & (mask[:, None] > 0)
  found = {name: jnp.sum(jnp.where(own, v[:, None], 0), 0) for name, v in each.items()}
  return {**found, "objects": own.sum(0, dtype=jnp.int32)}


def summarise(sums: Sums) -> dict[str, Any]:
  """Returns the figures of an evaluation from its sums.

  `dice` and `iou` are means over all objects, `mean_dice` and `mean_iou` means over the groups of
  the means over their objects, and `iou_error` is how far the IoU that the network expects of its
  mask lies from the real one. A group without objects is left out, and has no figures.
  """
  objects = np.asarray(sums["objects"])
  there, total = objects > 0, int(objects.sum())
  means = {
    name: np.divide(sums[name], objects, out=np.full(objects.shape, np.nan), where=there)
    for name in OF_OBJECTS
  }
  rows = []
  for n, count in enumerate(objects):
    found = {name: float(value[n]) if count else None for name, value in means.items()}
    rows.append({**found, "objects": int(count)})
  whole = {name: float(np.sum(sums[name])) / max(total, 1) for name in ("loss", *OF_OBJECTS)}
  macro = {f"mean_{n}": float(means[n][there].mean()) if total else np.nan for n in OF_OBJECTS[:2]}
  return {**whole, **macro, "examples": total, "per_class": rows}
