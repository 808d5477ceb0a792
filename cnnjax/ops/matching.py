"""Which true box each of a detector's own boxes stands for, and which of them a loss looks at."""

import jax
import jax.numpy as jnp
from jax import lax

NONE, BETWEEN = -1, -2  # matches: background, and neither background nor object


def match(
  overlap: jax.Array, valid: jax.Array, low: float, high: float, *, best: bool = False
) -> jax.Array:
  """Returns the truth [M] with the largest overlap [N, M], NONE below low, BETWEEN below high.

  Args:
    overlap: of true boxes with the detector's, from 0 to 1.
    valid: [N], which true boxes are there.
    low: overlap from which a box is no background.
    high: overlap from which it is an object.
    best: whether the boxes that overlap a true one the most, equal ones together, are objects
      whatever the overlap (arXiv:1506.01497, section 3.1.2), each of the truth that it overlaps
      most. A true box that nothing overlaps gets none; torchvision would give it all.
  """
  overlap = _of_the_valid(overlap, valid)
  nearest, most = overlap.argmax(0), overlap.max(0)
  found = jnp.where(most < high, BETWEEN, nearest)
  found = jnp.where(most < low, NONE, found)
  if best:
    top = overlap.max(1, keepdims=True)
    found = jnp.where(((overlap == top) & (top > 0)).any(0), nearest, found)
  return found


def match_ssd(overlap: jax.Array, valid: jax.Array, threshold: float) -> jax.Array:
  """Returns the truth [M] that a default box stands for, or NONE (arXiv:1512.02325, section 2.2).

  Each true box first gets the default box that it overlaps [N, M] the most, of several claims the
  last; the others go to the truth they overlap most, if by the threshold or more.
  """
  found = match(overlap, valid, threshold, threshold)
  claimed = overlap.argmax(1)
  number = jnp.where((valid > 0) & (overlap.max(1) > 0), jnp.arange(len(overlap)), NONE)
  claims = jnp.full(overlap.shape[1], NONE).at[claimed].max(number)
  return jnp.where(claims >= 0, claims, found)


def sample(
  key: jax.Array, matches: jax.Array, count: int, fraction: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns `count` boxes of matches [M] drawn at random: index, whether there, whether object.

  Each is [count]. At most the fraction are objects, which come first; background fills the rest, as
  far as there is any (arXiv:1504.08083, section 2.3).
  """
  draw, most = jax.random.uniform(key, matches.shape), int(count * fraction)
  objects, objects_there = _draw(draw, matches >= 0, most)
  others, others_there = _draw(draw, matches == NONE, count)
  taken = objects_there.sum()
  place = jnp.arange(count)
  others = jnp.roll(others, taken)  # so that they begin after the objects
  is_object = place < taken
  index = jnp.where(is_object, jnp.pad(objects, (0, count - most)), others)
  return index, place < taken + others_there.sum(), is_object


def _draw(draw, chosen, count):
  """Returns the indices [count] of the chosen [M] with the highest draws, and which are there."""
  padded = jnp.pad(jnp.where(chosen, draw, -1), (0, max(0, count - len(draw))), constant_values=-1)
  value, index = lax.top_k(padded, count)
  return jnp.where(value >= 0, index, 0), value >= 0


def _of_the_valid(overlap, valid):
  """Returns the overlaps, -1 for boxes that are not there; one such row where there is none."""
  overlap = jnp.where(valid[:, None] > 0, overlap, -1.0)
  return overlap if len(overlap) else jnp.full((1, overlap.shape[1]), -1.0)
