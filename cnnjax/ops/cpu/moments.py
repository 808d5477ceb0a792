"""Batch norm's sums over all pixels: of values forward, and of gradients backward.

They are taken image by image, in one loop each (`row_sums`), and then added over the images.
"""

import math

import jax
import jax.numpy as jnp

from cnnjax.ops.cpu.row_sums import row_sums


def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns mean and biased variance [C] of x [B, *space, C] over all axes but the last.

  They are computed from differences to each image's first pixel, so that a large mean costs no
  precision, and combined over the images as by Chan, Golub and LeVeque (1983).
  """
  x = _rows(x)
  pixels, first = x.shape[1], x[:, :1]
  off = x - first
  sums, squares = row_sums(off, off * off)
  off, means = sums / pixels, first[:, 0] + sums / pixels
  mean = means.mean(0)
  return mean, (squares / pixels - off * off).mean(0) + jnp.square(means - mean).mean(0)


def gradient_sums(
  gradient: jax.Array, x: jax.Array, mean: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the sums [C] of gradient and of gradient * (x - mean), both [B, *space, C]."""
  rows, gradient = _rows(x), _rows(gradient).astype(mean.dtype)
  total, along = row_sums(gradient, gradient * (rows - mean))
  return total.sum(0), along.sum(0)


def _rows(x: jax.Array) -> jax.Array:
  return x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])
