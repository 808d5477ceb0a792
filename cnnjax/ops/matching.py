"""Which true box each of a detector's own boxes is matched to, and which boxes a loss uses."""

import jax
import jax.numpy as jnp
from jax import lax

NONE, BETWEEN = -1, -2  # instead of an index: background, and neither background nor object


def match(
  overlap: jax.Array, valid: jax.Array, low: float, high: float, *, best: bool = False
) -> jax.Array:
  """Returns the index [M] of the true box with the largest overlap [N, M], or NONE or BETWEEN.

  Args:
    overlap: of true boxes with the detector's, from 0 to 1.
    valid: [N], which true boxes are real.
    low: overlap below which a box is background, NONE.
    high: overlap from which it is an object; from low to high it is BETWEEN.
    best: whether the boxes that overlap a true box the most, all of them if equal, are objects
      whatever the overlap (arXiv:1506.01497, section 3.1.2), each matched to the true box that it
      overlaps most. A true box that nothing overlaps gets none; torchvision would give it all.
  """
  overlap = _of_valid(overlap, valid)
  nearest, most = overlap.argmax(0), overlap.max(0)
  found = jnp.where(most < high, BETWEEN, nearest)
  found = jnp.where(most < low, NONE, found)
  if best:
    top = overlap.max(1, keepdims=True)
    found = jnp.where(((overlap == top) & (top > 0)).any(0), nearest, found)
  return found


def match_ssd(overlap: jax.Array, valid: jax.Array, threshold: float) -> jax.Array:
  """Returns each default box's true box [M], or NONE (arXiv:1512.02325, section 2.2).

  Each true box first claims the default box that it overlaps [N, M] the most; of several claims to
  one the last holds. The other boxes are matched to the true box that they overlap most, if by the
  threshold or more.
  """
  found = match(overlap, valid, threshold, threshold)
  claimed = overlap.argmax(1)
  number = jnp.where((valid > 0) & (overlap.max(1) > 0), jnp.arange(len(overlap)), NONE)
  claims = jnp.full(overlap.shape[1], NONE).at[claimed].max(number)
  return jnp.where(claims >= 0, claims, found)


def sample(
  key: jax.Array, matches: jax.Array, count: int, fraction: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns (index, real, is object), [count] each, of boxes drawn at random from matches [M].

  Objects come first and are at most `fraction` of them; background fills the rest, as far as there
  is any, and what is then left is not real (arXiv:1504.08083, section 2.3).
  """
  draw, most = jax.random.uniform(key, matches.shape), int(count * fraction)
  objects, objects_real = _draw(draw, matches >= 0, most)
  others, others_real = _draw(draw, matches == NONE, count)
  taken = objects_real.sum()
  position = jnp.arange(count)
  others = jnp.roll(others, taken)  # so that they begin after the objects
  is_object = position < taken
  index = jnp.where(is_object, jnp.pad(objects, (0, count - most)), others)
  return index, position < taken + others_real.sum(), is_object


def _draw(draw, chosen, count):
  """Returns the indices [count] of the chosen [M] with the highest draws, and which are real."""
  padded = jnp.pad(jnp.where(chosen, draw, -1), (0, max(0, count - len(draw))), constant_values=-1)
  value, index = lax.top_k(padded, count)
  return jnp.where(value >= 0, index, 0), value >= 0


def _of_valid(overlap, valid):
  """Returns the overlaps, -1 in the rows of boxes that are not valid; one such row if N is 0."""
  overlap = jnp.where(valid[:, None] > 0, overlap, -1.0)
  return overlap if len(overlap) else jnp.full((1, overlap.shape[1]), -1.0)
