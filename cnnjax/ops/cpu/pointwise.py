"""1x1 convolutions, and those whose window is the whole image, as products of matrices."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu import dense
from cnnjax.ops.geometry import Geometry


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution."""
  simple = len(x_shape) == 4 and geometry.groups == 1 and geometry.padding == ((0, 0), (0, 0))
  whole_image = kernel_shape[:2] == x_shape[1:3] and geometry.dilation == (1, 1)
  return simple and (kernel_shape[:2] == (1, 1) or whole_image)


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own: always."""
  return True


def product(a: jax.Array, b: jax.Array, over: tuple[int, int] = (1, 0)) -> jax.Array:
  """Returns the product of two matrices, summed over a dimension of each; (0, 0) gives a^T b."""
  return lax.dot_general(a, b, (((over[0],), (over[1],)), ((), ())))


def forward(
  x: jax.Array, kernel: jax.Array, geometry: Geometry, product: Callable = product
) -> jax.Array:
  """Returns the convolution of x [B, H, W, C] with kernel [1, 1, C, D] or [H, W, C, D]."""
  x = _window_values(x, kernel.shape, geometry)
  return product(_rows(x), _rows(kernel)).reshape(*x.shape[:3], -1)


def input_gradient(
  gradient: jax.Array,
  kernel: jax.Array,
  x_shape: tuple[int, ...],
  geometry: Geometry,
  product: Callable = product,
) -> jax.Array:
  """Returns the gradient with respect to x from that with respect to the result [B, H', W', D]."""
  if kernel.shape[:2] != (1, 1):
    return dense.input_gradient(_rows(gradient), _rows(kernel)).reshape(x_shape)
  found = product(_rows(gradient), _rows(kernel), (1, 1)).reshape(*gradient.shape[:3], -1)
  if geometry.strides == (1, 1):
    return found
  config = [(0, 0, 0)]
  for size, count, stride in zip(x_shape[1:3], found.shape[1:3], geometry.strides):
    config.append((0, size - (count - 1) * stride - 1, stride - 1))
  return lax.pad(found, jnp.zeros((), found.dtype), [*config, (0, 0, 0)])


def kernel_gradient(
  x: jax.Array,
  gradient: jax.Array,
  kernel_shape: tuple[int, ...],
  geometry: Geometry,
  product: Callable = product,
) -> jax.Array:
  """Returns the gradient with respect to the kernel: a product that transposes neither factor."""
  values = _window_values(x, kernel_shape, geometry)
  return product(_rows(values), _rows(gradient), (0, 0)).reshape(kernel_shape)


def _window_values(x: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry) -> jax.Array:
  """Returns what the window reads for each output pixel, [B, H', W', window pixels x C]."""
  if kernel_shape[:2] != (1, 1):
    return x.reshape(x.shape[0], 1, 1, -1)
  down, across = geometry.strides
  if geometry.strides == (1, 1):
    return x
  return lax.optimization_barrier(x[:, ::down, ::across])


def _rows(x: jax.Array) -> jax.Array:
  """Returns x [..., C] as a matrix [N, C]."""
  return x.reshape(-1, x.shape[-1])
