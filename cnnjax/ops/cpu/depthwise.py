"""A convolution a channel: shifted multiply-adds, which XLA fuses into one loop over rows."""

from functools import reduce

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu.windows import pad, put_back, seen, taps
from cnnjax.ops.geometry import Geometry, places

AT_ONCE = 8  # blocks of rows of the kernel's gradient in one loop, at most


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form computes such a convolution."""
  return len(x_shape) == 4 and 1 < geometry.groups == x_shape[-1] == kernel_shape[-1]


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own: always."""
  return True


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns x [B, H, W, C] by kernel [h, w, 1, C]."""
  sizes, padded = places(x.shape, kernel.shape, geometry), pad(x, geometry.padding)
  parts = (
    seen(padded, row, column, sizes, geometry.strides) * kernel[i, j, 0]
    for i, j, row, column in taps(kernel.shape, geometry.dilation)
  )
  return reduce(jnp.add, parts)


def input_gradient(
  slope: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to x from that of the result, [B, H', W', C]."""
  parts = (
    (row, column, slope * kernel[i, j, 0])
    for i, j, row, column in taps(kernel.shape, geometry.dilation)
  )
  return put_back(parts, x_shape, geometry.strides, geometry.padding)


def kernel_gradient(
  x: jax.Array, slope: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to the kernel, a sum over all places for each tap.

  Up to eight blocks of rows are multiplied and added in one loop, which holds an eighth of the
  products, before what XLA's own sum reads.
  """
  (height, width), stride = slope.shape[1:3], geometry.strides[0]
  count = max(n for n in range(1, AT_ONCE + 1) if height % n == 0)
  rows, padded, found = height // count, pad(x, geometry.padding), []
  starts = range(0, height, rows) if height else (0,)
  for _, _, row, column in taps(kernel_shape, geometry.dilation):
    parts = (
      seen(padded, row + first * stride, column, (rows, width), geometry.strides)
      * slope[:, first : first + rows]
      for first in starts
    )
    found.append(lax.optimization_barrier(reduce(jnp.add, parts)).sum((0, 1, 2)))
  return jnp.stack(found).reshape(kernel_shape)
