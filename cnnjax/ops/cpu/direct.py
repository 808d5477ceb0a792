"""XLA's own convolution, its two gradients apart from each other."""

from collections.abc import Callable

import jax
from jax import lax

from cnnjax.ops.geometry import Geometry, plain


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form computes such a convolution: any."""
  return True


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is the fastest that is left."""
  return True


def gradients(forward: Callable) -> tuple[Callable, Callable]:
  """Returns the input gradient and the kernel gradient of a form: its `forward` transposed."""

  def input_gradient(
    slope: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
  ) -> jax.Array:
    """Returns the slope with respect to x [B, *space, C] from that of the result."""
    x = jax.ShapeDtypeStruct(x_shape, slope.dtype)
    return jax.linear_transpose(lambda x: forward(x, kernel, geometry), x)(slope)[0]

  def kernel_gradient(
    x: jax.Array, slope: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
  ) -> jax.Array:
    """Returns the slope with respect to the kernel [*window, C/groups, D]."""
    kernel = jax.ShapeDtypeStruct(kernel_shape, slope.dtype)
    return jax.linear_transpose(lambda kernel: forward(x, kernel, geometry), kernel)(slope)[0]

  return input_gradient, kernel_gradient


forward = plain
_transposed, kernel_gradient = gradients(plain)


def input_gradient(
  slope: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to x [B, *space, C] from that of the result.

  Where a window of two moves by two and has a zero on both sides, the one behind is taken for a
  pixel: else XLA's compiler may end the process, with "Window dimensions do not match RHS shape".
  """
  sizes, padding = list(x_shape), list(geometry.padding)
  for i, asked in enumerate(zip(kernel.shape, *geometry[:3])):
    if asked == (2, 2, (1, 1), 1):
      sizes[i + 1], padding[i] = sizes[i + 1] + 1, (1, 0)
  found = _transposed(slope, kernel, tuple(sizes), geometry._replace(padding=tuple(padding)))
  return lax.slice(found, (0,) * found.ndim, x_shape)
