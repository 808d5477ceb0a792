"""Convolutions whose window is larger than the image, as a product of its patches with the kernel.

XLA falls back there on loops that are thirty times slower than its matrix product.
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu.direct import gradients
from cnnjax.ops.cpu.windows import pad, tap_values, taps
from cnnjax.ops.geometry import Geometry, output_size


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution."""
  return len(x_shape) == 4 and geometry.groups == 1


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own."""
  sizes = zip(x_shape[1:3], kernel_shape, geometry.dilation)
  return any(n < d * (k - 1) + 1 for n, k, d in sizes)


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns the convolution of x [B, H, W, C] with kernel [h, w, C, D]."""
  sizes = output_size(x.shape, kernel.shape, geometry)

  def inside(axis, first):
    """Whether a tap reads any pixel of the image, not padding alone."""
    before, stride = geometry.padding[axis][0], geometry.strides[axis]
    return any(0 <= first - before + i * stride < x.shape[1 + axis] for i in range(sizes[axis]))

  padded, parts, weights = pad(x, geometry.padding), [], []
  for i, j, row, column in taps(kernel.shape, geometry.dilation):
    if inside(0, row) and inside(1, column):
      parts.append(tap_values(padded, row, column, sizes, geometry.strides))
      weights.append(kernel[i, j])
  if not parts:
    return jnp.zeros((x.shape[0], *sizes, kernel.shape[3]), x.dtype)
  patches = lax.optimization_barrier(jnp.concatenate(parts, -1))
  weights = lax.optimization_barrier(jnp.concatenate(weights))
  return (patches.reshape(-1, len(weights)) @ weights).reshape(x.shape[0], *sizes, kernel.shape[3])


input_gradient, kernel_gradient = gradients(forward)
