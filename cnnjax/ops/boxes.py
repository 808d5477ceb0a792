"""Boxes as (x0, y0, x1, y1): their area, overlap, clipping, and the offsets that networks learn."""

import math

import jax
import jax.numpy as jnp

Weights = tuple[float, float, float, float]
MAX_LOG_RATIO = math.log(1000 / 16)  # of sides; as in Detectron, so that exp stays finite


def area(boxes: jax.Array) -> jax.Array:
  """Returns the areas [...] of boxes [..., 4]."""
  return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def iou(a: jax.Array, b: jax.Array) -> jax.Array:
  """Returns intersection over union [..., N, M] of boxes [..., N, 4] with boxes [..., M, 4].

  It is 0 where the union has no area, so that padding overlaps nothing (torchvision: NaN).
  """
  x0, y0, x1, y1 = (a[..., :, None, i] for i in range(4))
  u0, v0, u1, v1 = (b[..., None, :, i] for i in range(4))
  wide = jnp.maximum(jnp.minimum(x1, u1) - jnp.maximum(x0, u0), 0)
  high = jnp.maximum(jnp.minimum(y1, v1) - jnp.maximum(y0, v0), 0)
  both = wide * high
  union = (x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - both
  return both / jnp.where(union == 0, 1, union)


def clip(boxes: jax.Array, size: tuple[int, int] | jax.Array) -> jax.Array:
  """Returns boxes [..., 4] clipped to an image's (height, width), or to sizes [..., 2]."""
  size = jnp.asarray(size, boxes.dtype)
  limit = jnp.stack([size[..., 1], size[..., 0]] * 2, -1)
  return jnp.clip(boxes, 0, limit)


def large(boxes: jax.Array, least: float) -> jax.Array:
  """Returns whether [...] both sides of boxes [..., 4] have at least `least` pixels."""
  return ((boxes[..., 2:] - boxes[..., :2]) >= least).all(-1)


def encode(boxes: jax.Array, references: jax.Array, weights: Weights = (1, 1, 1, 1)) -> jax.Array:
  """Returns the offsets [..., 4] from references to boxes [..., 4] (arXiv:1311.2524, appendix C).

  They are (dx / width, dy / height, log of the ratio of widths, of heights), each times its weight:
  (10, 10, 5, 5) are Fast R-CNN's and SSD's 1 / variances. A side of length 0, which only padding
  has, counts as 1: else its NaN would reach the gradient through any mask.
  """
  centre, side = _centred(boxes)
  origin, unit = _centred(references)
  side, unit = (jnp.where(v > 0, v, 1) for v in (side, unit))
  offsets = jnp.concatenate([(centre - origin) / unit, jnp.log(side / unit)], -1)
  return offsets * jnp.asarray(weights, offsets.dtype)


def decode(offsets: jax.Array, references: jax.Array, weights: Weights = (1, 1, 1, 1)) -> jax.Array:
  """Returns the boxes [..., 4] at offsets [..., 4] from references [..., 4].

  It is the inverse of `encode`; a side grows by a factor of at most 1000 / 16.
  """
  offsets = offsets / jnp.asarray(weights, offsets.dtype)
  origin, unit = _centred(references)
  centre = offsets[..., :2] * unit + origin
  half = jnp.exp(jnp.minimum(offsets[..., 2:], MAX_LOG_RATIO)) * unit / 2
  return jnp.concatenate([centre - half, centre + half], -1)


def _centred(boxes):
  """Returns the centres and sides [..., 2] of boxes [..., 4]."""
  side = boxes[..., 2:] - boxes[..., :2]
  return boxes[..., :2] + side / 2, side
