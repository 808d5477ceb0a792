"""Greedy non-maximum suppression into a fixed number of places."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.ops.boxes import iou

BLOCK = 128  # boxes looked at in one turn; on a CPU 64 and 256 take as long, 512 longer


def nms(
  boxes: jax.Array,
  scores: jax.Array,
  threshold: float,
  places: int,
  labels: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Returns which boxes stay, best first, as their indices [places] and which places are taken.

  A box goes when it overlaps one that stays by more than the threshold; of equal scores the first
  goes before the others.

  Args:
    boxes: [N, 4]; what is needed beside them is 2 N numbers and a matrix [128, places].
    scores: [N]; a box of -inf (or NaN) is not there.
    threshold: of intersection over union.
    places: most boxes to keep; with them the work ends.
    labels: [N], where boxes of different classes do not suppress one another.
  """
  if not len(boxes):
    return jnp.zeros(places, jnp.int32), jnp.zeros(places, bool)
  count, threshold = len(boxes), _float32_below(threshold)
  labels = jnp.zeros(count) if labels is None else labels
  scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
  scores, order = lax.top_k(scores, count)  # equal ones keep their order
  lines = jnp.concatenate([boxes, labels[:, None].astype(boxes.dtype)], -1)[order]
  lines = jnp.pad(lines, ((0, -count % BLOCK), (0, 0)))
  there = jnp.pad(scores > -jnp.inf, (0, -count % BLOCK))
  earlier = jnp.tri(BLOCK, k=-1, dtype=bool)  # [j, i]: i comes before j

  def clash(a, b):
    return (iou(a[:, :4], b[:, :4]) > threshold) & (a[:, 4:] == b[:, 4])

  def more(state):
    start, taken, *_ = state
    return (taken < places) & (start < count) & there[jnp.minimum(start, count - 1)]

  def turn(state):
    start, taken, kept, index = state
    block = lax.dynamic_slice_in_dim(lines, start, BLOCK)
    free = lax.dynamic_slice_in_dim(there, start, BLOCK) & ~clash(block, kept).any(1)
    stay = _greedy(free, clash(block, block) & earlier)
    place = jnp.where(stay, taken + jnp.cumsum(stay) - 1, places)
    kept = kept.at[place].set(block, mode="drop")
    index = index.at[place].set(start + jnp.arange(BLOCK), mode="drop")
    return start + BLOCK, jnp.minimum(taken + stay.sum(), places), kept, index

  empty = jnp.zeros((places, 5), lines.dtype)  # boxes of no area, which overlap nothing
  start = (jnp.int32(0), jnp.int32(0), empty, jnp.zeros(places, jnp.int32))
  _, taken, _, index = lax.while_loop(more, turn, start)
  real = jnp.arange(places) < taken
  return jnp.where(real, order[index], 0), real


def _greedy(free, clash):
  """Returns who [N] of the free stays: no one before them that stays clashes [N, N] with them.

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
  """Returns the largest float32 that is no more: an overlap of 0.3f is above 0.3, as in C++."""
  nearest = np.float32(threshold)
  return np.nextafter(nearest, np.float32(-1)) if float(nearest) > threshold else nearest
