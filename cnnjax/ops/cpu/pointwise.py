"""1x1 convolutions, and those whose window sees all of the image: products of matrices."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu import dense
from cnnjax.ops.geometry import STILL, Geometry, plain


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form computes such a convolution."""
  simple = len(x_shape) == 4 and geometry.groups == 1 and geometry.padding == ((0, 0), (0, 0))
  all_of_it = kernel_shape[:2] == x_shape[1:3] and geometry.dilation == (1, 1)
  return simple and (kernel_shape[:2] == (1, 1) or all_of_it)


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own: always."""
  return True


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns x [B, H, W, C] by kernel [1, 1, C, D] or [H, W, C, D]."""
  x, kernel = _seen(x, kernel.shape, geometry), _one(kernel)
  return plain(x, kernel, STILL)


def input_gradient(
  slope: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to x from that of the result, [B, H', W', D]."""
  if kernel.shape[:2] != (1, 1):
    flat = slope.reshape(-1, slope.shape[3]), kernel.reshape(-1, kernel.shape[3])
    return dense.input_gradient(*flat).reshape(x_shape)
  found = plain(slope, kernel.swapaxes(2, 3), STILL)
  if geometry.strides == (1, 1):
    return found
  config = [(0, 0, 0)]
  for size, places, stride in zip(x_shape[1:3], found.shape[1:3], geometry.strides):
    config.append((0, size - (places - 1) * stride - 1, stride - 1))
  return lax.pad(found, jnp.zeros((), found.dtype), [*config, (0, 0, 0)])


def kernel_gradient(
  x: jax.Array, slope: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to the kernel: a product that reads both as they lie."""
  return product(*rows(x, slope, kernel_shape, geometry)).reshape(kernel_shape)


def product(x: jax.Array, slope: jax.Array) -> jax.Array:
  """Returns x [N, C] transposed times slope [N, D]."""
  return lax.dot_general(x, slope, (((0,), (0,)), ((), ())))


def rows(
  x: jax.Array, slope: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> tuple[jax.Array, jax.Array]:
  """Returns what is seen at each place and the slope there, as matrices of a row a place."""
  x = _seen(x, kernel_shape, geometry)
  return x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])


def _seen(x: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry) -> jax.Array:
  """Returns what the window sees at each place, [B, H', W', its pixels x C]."""
  if kernel_shape[:2] != (1, 1):
    return x.reshape(x.shape[0], 1, 1, -1)
  across, down = geometry.strides
  if geometry.strides == (1, 1):
    return x
  return lax.optimization_barrier(x[:, ::across, ::down])  # a stride is a slice in front


def _one(kernel: jax.Array) -> jax.Array:
  return kernel.reshape(1, 1, math.prod(kernel.shape[:3]), kernel.shape[3])
