"""Greedy non-maximum suppression to a fixed number of boxes."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.ops.boxes import iou

BLOCK = 128  # boxes of one turn of the loop; on a CPU 64 and 256 take as long, 512 longer


def nms(
  boxes: jax.Array,
  scores: jax.Array,
  threshold: float,
  places: int,
  labels: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Returns the indices [places] of the boxes that are kept, best first, and which are real.

  A box is dropped when it overlaps a better one that is kept by more than the threshold; of equal
  scores the first is the better.

  Args:
    boxes: [N, 4]; memory for 2 N more numbers and a matrix [128, places] is needed.
    scores: [N]; -inf or NaN where there is no box.
    threshold: of intersection over union.
    places: how many boxes to keep at most; the loop ends when it has them.
    labels: [N] classes; only boxes of one class suppress each other. By default all are of one.
  """
  if not len(boxes):
    return jnp.zeros(places, jnp.int32), jnp.zeros(places, bool)
  count, threshold = len(boxes), _float32_below(threshold)
  labels = jnp.zeros(count) if labels is None else labels
  scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
  scores, order = lax.top_k(scores, count)  # which keeps the order of equal scores
  lines = jnp.concatenate([boxes, labels[:, None].astype(boxes.dtype)], -1)[order]
  lines = jnp.pad(lines, ((0, -count % BLOCK), (0, 0)))
  present = jnp.pad(scores > -jnp.inf, (0, -count % BLOCK))
  earlier = jnp.tri(BLOCK, k=-1, dtype=bool)  # [j, i]: i comes before j

  def clash(a, b):
    return (iou(a[:, :4], b[:, :4]) > threshold) & (a[:, 4:] == b[:, 4])

  def more(state):
    start, taken, *_ = state
    return (taken < places) & (start < count) & present[jnp.minimum(start, count - 1)]

  def turn(state):
    start, taken, kept, index = state
    block = lax.dynamic_slice_in_dim(lines, start, BLOCK)
    free = lax.dynamic_slice_in_dim(present, start, BLOCK) & ~clash(block, kept).any(1)
    stay = _greedy(free, clash(block, block) & earlier)
    slot = jnp.where(stay, taken + jnp.cumsum(stay) - 1, places)
    kept = kept.at[slot].set(block, mode="drop")
    index = index.at[slot].set(start + jnp.arange(BLOCK), mode="drop")
    return start + BLOCK, jnp.minimum(taken + stay.sum(), places), kept, index

  empty = jnp.zeros((places, 5), lines.dtype)  # boxes of no area, which overlap nothing
  start = (jnp.int32(0), jnp.int32(0), empty, jnp.zeros(places, jnp.int32))
  _, taken, _, index = lax.while_loop(more, turn, start)
  real = jnp.arange(places) < taken
  return jnp.where(real, order[index], 0), real


def _greedy(free, clash):
  """Returns which free boxes [N] stay: those that clash [N, N] with no earlier one that stays.

  Each round settles one more link of the longest chain of boxes that suppress one another.
  """

  def again(state):
    stay, before = state
    return (stay != before).any()

  def settle(state):
    stay, _ = state
    return free & ~(clash & stay).any(1), stay

  return lax.while_loop(again, settle, settle((free, free)))[0]


def _float32_below(threshold: float) -> np.float32:
  """Returns the largest float32 up to a threshold: the float32 of 0.3 is above 0.3, as in C++."""
  nearest = np.float32(threshold)
  return np.nextafter(nearest, np.float32(-1)) if float(nearest) > threshold else nearest
