"""The task of a mask for a prompt: cross-entropy, focal and Dice loss, and the IoU to expect.

Of several masks for a prompt the best one is learnt (arXiv:2304.02643, section 3). The classes of
the data are groups of objects, such as the data sets that they come from, by which figures are
given; networks do not know them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data.inputs import read as inputs  # noqa: F401, a function of the task
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.metrics import prompted as metrics_of
from cnnjax.ops import losses
from cnnjax.ops.resize import resize
from cnnjax.ops.segmentation import VOID
from cnnjax.ops.segmentation import cross_entropy as cross_entropy_of
from cnnjax.ops.segmentation import dice as dice_of

Batch = dict[str, Any]
Outputs = dict[str, Any]


def complete(
  splits: Mapping[str, Table],
  *,
  cross_entropy: float = 1.0,
  focal: float = 0.0,
  dice: float = 0.0,
) -> dict[str, Any]:
  """Returns nothing, since all options are given.

  Raises: UserError for data without objects, and a loss from which no mask can be learnt.
  """
  if not {"segments", "box", "label"} <= splits["train"].columns.keys():
    raise UserError(
      "task promptable needs one object and a box in each image: set data.input to prompted, and "
      "data.name to prompts, which makes them of class maps, instances and volumes"
    )
  if not cross_entropy + focal + dice:
    raise UserError("task.cross_entropy, task.focal and task.dice are all 0: nothing to learn from")
  return {}


def views(batch: Batch) -> list[tuple[float, Batch]]:
  """Returns the batch as its only view: logits of moved pixels cannot be averaged."""
  return [(1, batch)]


def loss(
  outputs: Outputs,
  batch: Batch,
  counts: Mapping[str, jax.Array] | None = None,
  *,
  cross_entropy: float = 1.0,
  focal: float = 0.0,
  focal_gamma: float = 2.0,
  dice: float = 0.0,
  iou: float = 1.0,
) -> tuple[jax.Array, dict[str, Any]]:
  """Returns the weighted sum of the losses, and the sums to log.

  Each is a mean over the real objects: cross-entropy and focal loss of the mean over an object's
  pixels that are not void; all at the size of the image, to which logits are interpolated.

  Args:
    outputs: `logits` [B, h, w, M] and `iou` [B, M].
    batch: `segments` [B, H, W], 1 at the object's pixels, and `mask` [B].
    counts: what the sums are divided by, where the batch is a part of a larger one.
    cross_entropy: weight of its part.
    focal: weight of its part.
    focal_gamma: of the focal loss.
    dice: weight of its part.
    iou: weight of the square error of the IoUs that the network expects of its M masks.
  """
  truth, mask = jnp.asarray(batch["segments"]), batch["mask"]
  logits = resize(outputs["logits"], truth.shape[1:])

  def of_mask(one: jax.Array) -> dict[str, jax.Array]:
    two = jnp.stack([jnp.zeros_like(one), one], -1)  # logits of what is beside it, and of it
    known = jnp.maximum(jnp.sum(truth != VOID, (1, 2)), 1)
    by_pixel = {"cross_entropy": (cross_entropy, 0.0), "focal": (focal, focal_gamma)}
    found = {
      f"{name}_loss": weight * cross_entropy_of(two, truth, gamma).sum((1, 2)) / known
      for name, (weight, gamma) in by_pixel.items()
      if weight
    }
    return {**found, **({"dice_loss": dice * dice_of(two, truth)[:, 1]} if dice else {})}

  each = jax.vmap(of_mask, -1, -1)(logits)
  best = sum(each.values()).argmin(-1, keepdims=True)
  parts = {name: jnp.take_along_axis(value, best, -1)[:, 0] for name, value in each.items()}
  real = jax.vmap(lambda one: metrics_of.overlap(one > 0, truth), -1, -1)(logits)
  if iou:
    parts["iou_loss"] = iou * jnp.square(outputs["iou"] - real["iou"]).mean(-1)
  count = mask.sum()
  parts = {name: (jnp.sum(value * mask), count) for name, value in parts.items()}
  value = losses.total(parts, counts)
  hit = jnp.take_along_axis(real["dice"], best, -1)[:, 0]
  logs = {"loss": (value, jnp.ones(())), **parts, "dice": (jnp.sum(hit * mask), count)}
  return value, logs


def metrics(
  outputs: Outputs, batch: Batch, *, model: Any = None, rows: bool = False
) -> dict[str, Any]:
  """Returns the sums of a batch that `summarise` turns into figures.

  The answer is the mask of which the network expects most. With `rows` it also returns each
  object's mask as `segments`, its truth, box, figures and group, under that name.

  Args:
    outputs: `logits` [B, h, w, M] and `iou` [B, M].
    batch: `segments` [B, H, W], `box` [B, 4], `label` [B], the object's group, and `mask` [B].
    model: whose `num_classes` is the number of groups.
    rows: whether to return rows.
  """
  truth = jnp.asarray(batch["segments"])
  logits, expected = _best(outputs, truth.shape[1:])
  each = metrics_of.overlap(logits > 0, truth)
  each["iou_error"] = jnp.abs(expected - each["iou"])
  two = jnp.stack([jnp.zeros_like(logits), logits], -1)
  each["loss"] = cross_entropy_of(two, truth).mean((1, 2))
  found = metrics_of.sums(each, batch["label"], batch["mask"], model.num_classes)
  if rows:
    answer = {"segments": (logits > 0).astype(jnp.uint8), "truth": truth, "group": batch["label"]}
    answer |= {key: batch[key] for key in ("box", "mask")} | {"expected": expected}
    found["rows"] = {**answer, "dice": each["dice"], "iou": each["iou"]}
  return found


def summarise(sums: dict[str, Any]) -> dict[str, Any]:
  """Returns the figures of an evaluation from its sums; the loss is the plain cross-entropy."""
  return metrics_of.summarise(sums)


def predict(outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
  """Returns the best mask of each prompt, `masks` bool [B, H, W], and the `iou` [B] to expect."""
  logits, expected = _best(outputs, batch["image"].shape[1:3])
  return {"masks": logits > 0, "iou": expected}


def named(answer: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
  """Returns an answer with the number of pixels of each mask; the names are of groups."""
  del names
  return {"pixels": np.asarray(answer["masks"]).sum((-2, -1)).tolist(), **answer}


def _best(outputs: Outputs, size: Sequence[int]) -> tuple[jax.Array, jax.Array]:
  """Returns the logits [B, *size] of each prompt's best mask, and the IoU [B] expected of it."""
  best = outputs["iou"].argmax(-1)
  expected = jnp.take_along_axis(outputs["iou"], best[:, None], -1)[:, 0]
  logits = jnp.take_along_axis(outputs["logits"], best[:, None, None, None], -1)
  return resize(logits, size)[..., 0], expected
