"""Depthwise convolutions as shifted multiply-adds, which XLA fuses into one loop over rows."""

import math
from functools import reduce

import jax
import jax.numpy as jnp

from cnnjax.ops.cpu.row_sums import row_sums
from cnnjax.ops.cpu.windows import add_phases, pad, tap_phases, tap_values, taps
from cnnjax.ops.geometry import Geometry, output_size

TAPS_PER_LOOP = 9  # of the kernel gradient, at most


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution."""
  return len(x_shape) == 4 and 1 < geometry.groups == x_shape[-1] == kernel_shape[-1]


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own: always."""
  return True


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns the convolution of x [B, H, W, C] with kernel [h, w, 1, C].

  Without strides it is computed as the input gradient of the reversed kernel, into whose loop XLA
  fuses the padding.
  """
  sizes = output_size(x.shape, kernel.shape, geometry)
  if geometry.strides == (1, 1):
    reach = [d * (k - 1) for d, k in zip(geometry.dilation, kernel.shape)]
    around = tuple((n - a, n - b) for n, (a, b) in zip(reach, geometry.padding))
    shape = x.shape[0], *sizes, x.shape[3]
    return input_gradient(x, kernel[::-1, ::-1], shape, geometry._replace(padding=around))
  padded = pad(x, geometry.padding)
  parts = (
    tap_values(padded, row, column, sizes, geometry.strides) * kernel[i, j, 0]
    for i, j, row, column in taps(kernel.shape, geometry.dilation)
  )
  return reduce(jnp.add, parts)


def input_gradient(
  gradient: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to x from that with respect to the result [B, H', W', C]."""
  strides, padding, dilation, _ = geometry
  found = tap_phases(kernel.shape, x_shape, gradient.shape[1:3], strides, padding, dilation)
  by_tap = kernel.reshape(-1, kernel.shape[3])
  parts = ((phase, pad(gradient * k, around)) for k, (phase, around) in zip(by_tap, found))
  return add_phases(parts, x_shape, strides)


def kernel_gradient(
  x: jax.Array, gradient: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to the kernel: for each tap a sum over all output pixels."""
  batch, *sizes, channels = gradient.shape
  padded, flat = pad(x, geometry.padding), (batch, math.prod(sizes), channels)
  products = [
    (tap_values(padded, row, column, sizes, geometry.strides) * gradient).reshape(flat)
    for _, _, row, column in taps(kernel_shape, geometry.dilation)
  ]
  cut = (products[i : i + TAPS_PER_LOOP] for i in range(0, len(products), TAPS_PER_LOOP))
  return jnp.stack([s.sum(0) for part in cut for s in row_sums(*part)]).reshape(kernel_shape)
