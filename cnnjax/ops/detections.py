"""The last step of all detectors: from boxes with scores to the detections of an image."""

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.boxes import large
from cnnjax.ops.nms import nms


def detections(
  boxes: jax.Array,
  scores: jax.Array,
  *,
  least: float,
  overlap: float,
  places: int,
  each: int = 0,
  side: float = 0.0,
) -> dict[str, jax.Array]:
  """Returns the detections of an image, best first: boxes [K, 4], labels, scores and valid [K].

  Args:
    boxes: [N, 4], or [N, C, 4] where each class has its own.
    scores: [N, C]; -inf where there is no box.
    least: score that a detection must be above.
    overlap: above which the worse of two detections of one class is dropped (`nms`).
    places: K, how many rows to return; those without a detection are 0 and not valid.
    each: how many boxes of a class, the best, take part; 0 for all.
    side: least length of a box's sides, in pixels.
  """
  count, classes = scores.shape
  each = min(each or count, count)
  boxes = jnp.broadcast_to(boxes if boxes.ndim == 3 else boxes[:, None], (count, classes, 4))
  scores = jnp.where((scores > least) & large(boxes, side), scores, -jnp.inf).T  # [C, N]
  boxes = boxes.swapaxes(0, 1)
  if each < count:
    scores, index = lax.top_k(scores, each)
    boxes = jnp.take_along_axis(boxes, index[..., None], 1)
  labels = jnp.repeat(jnp.arange(classes), each)
  boxes, scores = boxes.reshape(-1, 4), scores.ravel()
  kept, valid = nms(boxes, scores, overlap, places, labels)
  found = {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}
  empty = {k: jnp.where(valid.reshape(-1, *(1,) * (v.ndim - 1)), v, 0) for k, v in found.items()}
  return {**empty, "valid": valid}
