"""A convolution a channel: shifted multiply-adds, which XLA fuses into one loop over rows."""

import math
from functools import reduce

import jax
import jax.numpy as jnp

from cnnjax.ops.cpu.row_sums import row_sums
from cnnjax.ops.cpu.windows import homes, pad, put_back, seen, taps
from cnnjax.ops.geometry import Geometry, places

AT_ONCE = 9  # taps of the kernel's gradient in one loop, at most


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form computes such a convolution."""
  return len(x_shape) == 4 and 1 < geometry.groups == x_shape[-1] == kernel_shape[-1]


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own: always."""
  return True


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns x [B, H, W, C] by kernel [h, w, 1, C]."""
  sizes = places(x.shape, kernel.shape, geometry)
  if geometry.strides == (1, 1):  # the way back of the kernel turned round, in which pads are fused
    reach = [d * (k - 1) for d, k in zip(geometry.dilation, kernel.shape)]
    around = tuple((n - a, n - b) for n, (a, b) in zip(reach, geometry.padding))
    shape = x.shape[0], *sizes, x.shape[3]
    return input_gradient(x, kernel[::-1, ::-1], shape, geometry._replace(padding=around))
  padded = pad(x, geometry.padding)
  parts = (
    seen(padded, row, column, sizes, geometry.strides) * kernel[i, j, 0]
    for i, j, row, column in taps(kernel.shape, geometry.dilation)
  )
  return reduce(jnp.add, parts)


def input_gradient(
  slope: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to x from that of the result, [B, H', W', C]."""
  strides, padding, dilation, _ = geometry
  found = homes(kernel.shape, x_shape, slope.shape[1:3], strides, padding, dilation)
  by_tap = kernel.reshape(-1, kernel.shape[3])
  parts = ((phase, pad(slope * k, around)) for k, (phase, around) in zip(by_tap, found))
  return put_back(parts, x_shape, strides)


def kernel_gradient(
  x: jax.Array, slope: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to the kernel: for each tap the sum over all places."""
  batch, *sizes, channels = slope.shape
  padded, flat = pad(x, geometry.padding), (batch, math.prod(sizes), channels)
  products = [
    (seen(padded, row, column, sizes, geometry.strides) * slope).reshape(flat)
    for _, _, row, column in taps(kernel_shape, geometry.dilation)
  ]
  cut = (products[i : i + AT_ONCE] for i in range(0, len(products), AT_ONCE))
  return jnp.stack([s.sum(0) for part in cut for s in row_sums(*part)]).reshape(kernel_shape)
