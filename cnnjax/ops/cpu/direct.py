"""XLA's own convolution, with its two gradients as separate functions."""

from collections.abc import Callable

import jax
from jax import lax

from cnnjax.ops.geometry import Geometry, plain


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution: any."""
  return True


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is the fastest of those not yet tried: always, it comes last."""
  return True


def gradients(forward: Callable) -> tuple[Callable, Callable]:
  """Returns the input gradient and the kernel gradient of a form: its `forward` transposed."""

  def input_gradient(
    gradient: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
  ) -> jax.Array:
    """Returns the gradient with respect to x [B, *space, C] from that of the result."""
    x = jax.ShapeDtypeStruct(x_shape, gradient.dtype)
    return jax.linear_transpose(lambda x: forward(x, kernel, geometry), x)(gradient)[0]

  def kernel_gradient(
    x: jax.Array, gradient: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
  ) -> jax.Array:
    """Returns the gradient with respect to the kernel [*window, C/groups, D]."""
    kernel = jax.ShapeDtypeStruct(kernel_shape, gradient.dtype)
    return jax.linear_transpose(lambda kernel: forward(x, kernel, geometry), kernel)(gradient)[0]

  return input_gradient, kernel_gradient


forward = plain
_transposed, kernel_gradient = gradients(plain)


def input_gradient(
  gradient: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to x [B, *space, C] from that with respect to the result.

  A window of 2 with stride 2 and padding (1, 1) is computed with padding (1, 0) and one more pixel,
  which is cut off: else XLA's compiler may end the process with "Window dimensions do not match
  RHS shape".
  """
  sizes, padding = list(x_shape), list(geometry.padding)
  for i, axis in enumerate(zip(kernel.shape, *geometry[:3])):
    if axis == (2, 2, (1, 1), 1):
      sizes[i + 1], padding[i] = sizes[i + 1] + 1, (1, 0)
  found = _transposed(gradient, kernel, tuple(sizes), geometry._replace(padding=tuple(padding)))
  return lax.slice(found, (0,) * found.ndim, x_shape)
