"""The task of one class for each pixel: cross-entropy, focal and Dice loss, or their sum."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data.inputs import read as inputs  # noqa: F401, a function of the task
from cnnjax.data.masks import pixels
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.metrics import segmentation as metrics_of
from cnnjax.metrics import sizes, surface
from cnnjax.ops import losses
from cnnjax.ops.resize import centre
from cnnjax.ops.segmentation import VOID, cross_entropy
from cnnjax.ops.segmentation import dice as dice_of
from cnnjax.tasks.table import column, weights

Batch = dict[str, Any]
Outputs = dict[str, Any]


def complete(
  splits: Mapping[str, Table],
  *,
  class_weights: Sequence[float] | str = (),
  cross_entropy: float = 1.0,
  focal: float = 0.0,
  dice: float = 0.0,
) -> dict[str, Any]:
  """Returns the weights of the classes as numbers, where there are any.

  "balanced" gives class c of C the weight n / (C n_c), where the training split has n pixels that
  are not void, and n_c of class c.

  Raises: UserError for data without class maps, weights that are no numbers above 0, and a loss of
    which no part has a weight.
  """
  segments, classes = column(splits, "segments", "segmentation"), splits["train"].classes
  if not cross_entropy + focal + dice:
    raise UserError("task.cross_entropy, task.focal and task.dice are all 0: nothing to learn from")
  balanced = class_weights in ("balanced", ("balanced",))
  count = pixels(segments, len(classes)) if balanced else np.ones(len(classes), int)
  return weights("class_weights", class_weights, classes, count.sum(), len(classes) * count)


def views(batch: Batch) -> list[tuple[float, Batch]]:
  """Returns the batch as its only view: logits of moved pixels cannot be averaged."""
  return [(1, batch)]


def loss(
  outputs: Outputs,
  batch: Batch,
  counts: Mapping[str, jax.Array] | None = None,
  *,
  class_weights: Sequence[float] = (),
  cross_entropy: float = 1.0,
  focal: float = 0.0,
  focal_gamma: float = 2.0,
  dice: float = 0.0,
  aux_weight: float = 0.3,
) -> tuple[jax.Array, dict[str, Any]]:
  """Returns the weighted sum of the losses, and the sums to log.

  Cross-entropy and focal loss are means over the pixels of real examples that are not void; with
  `class_weights` [C] the pixels of class c are multiplied by its weight, and their sum is divided
  by the sum of the weights. The Dice loss is the mean over real examples and classes. Auxiliary
  logits have the same losses, weighted by `aux_weight`.

  Args:
    outputs: `logits` [B, *S, C], and maybe `aux` {name: logits}; of a smaller S than the class
      maps, they are those of the centre.
    batch: `segments` [B, *S] and `mask` [B].
    counts: what the sums are divided by, where the batch is a part of a larger one.
    class_weights: of cross-entropy and focal loss; () for none.
    cross_entropy: weight of its part.
    focal: weight of its part.
    focal_gamma: of the focal loss.
    dice: weight of its part.
    aux_weight: of the loss of auxiliary heads.
  """
  logits, mask = outputs["logits"], batch["mask"]
  heads = [(1.0, logits), *((aux_weight, aux) for aux in outputs.get("aux", {}).values())]
  by_pixel = {"cross_entropy": (cross_entropy, 0.0), "focal": (focal, focal_gamma)}
  parts = {}
  for name, (weight, gamma) in by_pixel.items():
    if weight:
      each = [(w * weight, *_by_pixel(h, batch, class_weights, gamma)) for w, h in heads]
      parts[f"{name}_loss"] = sum(w * total for w, total, _ in each), each[0][2]
  if dice:
    each = [w * dice * dice_of(h, _truth(batch, h)).mean(-1) for w, h in heads]
    parts["dice_loss"] = jnp.sum(sum(each) * mask), mask.sum()
  if len(parts) == 1:
    parts = {"loss": next(iter(parts.values()))}
  value = losses.total(parts, counts)
  truth = _truth(batch, logits)
  known = (truth != VOID) * _beside(mask, truth)
  hits = jnp.sum((logits.argmax(-1) == truth) * known)
  logs = {"loss": (value, jnp.ones(())), **parts, "pixel_accuracy": (hits, known.sum())}
  return value, logs


def metrics(
  outputs: Outputs, batch: Batch, *, model: Any = None, rows: bool = False
) -> dict[str, Any]:
  """Returns the sums of a batch that `summarise` turns into figures.

  With `rows` it also returns each example's answer and truth, and the size of its pixels, under
  that name, for figures of surfaces. The size is the batch's `spacing` [B, D], where it has one;
  else that of the table's pixels in pixels of the user's images, where their `size` [B, 2] is
  known; else 1.

  Args:
    outputs: `logits` [B, *S, C]; or what `metrics.segmentation.pixels` keeps of them.
    batch: `segments` [B, *S] and `mask` [B].
    model: whose `num_classes` is C; needed where there are no logits.
    rows: whether to return rows.
  """
  if "logits" in outputs:
    truth, classes = _truth(batch, outputs["logits"]), outputs["logits"].shape[-1]
    found = metrics_of.pixels(outputs["logits"], truth)
  else:
    found, truth, classes = outputs, batch["segments"], model.num_classes
  sums = metrics_of.sums(found, truth, batch["mask"], classes)
  if rows:
    each = {"segments": found["segments"], "truth": truth, "spacing": _spacing(batch)}
    sums["rows"] = {**each, "mask": batch["mask"]}
  return sums


def summarise(sums: dict[str, Any]) -> dict[str, Any]:
  """Returns the figures of an evaluation from its sums; the loss is the plain cross-entropy.

  Where the sums hold `rows`, of all batches, figures of the surfaces and of sizes are added.
  """
  figures = metrics_of.summarise(sums)
  if "rows" in sums:
    rows, count = sums["rows"], len(figures["per_class"])
    more = surface.summarise(rows, count)
    parts = zip(figures["per_class"], more["per_class"], sizes.summarise(rows, count))
    each = [{**a, **b, **c} for a, b, c in parts]
    figures |= {**more, "per_class": each}
  return figures


def predict(outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
  """Returns the class of each pixel, `segments` uint8 [B, *S]."""
  del batch
  return {"segments": outputs["logits"].argmax(-1).astype(jnp.uint8)}


def named(answer: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
  """Returns an answer with the number of pixels of each class that it has."""
  count = np.bincount(np.ravel(answer["segments"]), minlength=len(names))
  return {"pixels": {n: int(k) for n, k in zip(names, count) if k}, **answer}


def _by_pixel(logits, batch, class_weights, gamma):
  """Returns the sum of a loss over pixels, and the sum of their weights."""
  truth = _truth(batch, logits)
  weight = (truth != VOID) * _beside(batch["mask"], truth)
  if class_weights:
    weight *= jnp.asarray([*class_weights, *[0] * (VOID + 1 - len(class_weights))])[truth]
  return jnp.sum(weight * cross_entropy(logits, truth, gamma)), weight.sum()


def _truth(batch, logits):
  return centre(jnp.asarray(batch["segments"])[..., None], logits.shape[1:-1])[..., 0]


def _beside(mask, maps):
  return mask.reshape(-1, *(1,) * (maps.ndim - 1))


def _spacing(batch):
  if "spacing" in batch:
    return batch["spacing"]
  segments = batch["segments"]
  shape = segments.shape[1:]
  size = batch.get("size", jnp.broadcast_to(jnp.asarray(shape), (len(segments), len(shape))))
  return size / jnp.asarray(shape, jnp.float32)
