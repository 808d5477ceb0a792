"""Convolutions of few features, whose kernel gradient reads x as the result, and the result as x.

XLA's kernel gradient multiplies matrices with a column for each feature, and is slow where those
are few and the channels of x more: 22.7 ms for 4x128x128x32, 3x3 to 16, and 8.5 ms so.
"""

import jax
import jax.numpy as jnp

from cnnjax.ops.cpu import direct
from cnnjax.ops.geometry import Geometry

MAX_FEATURES = 16  # for which it is faster (docs/lab-book.md: 24 and 32 lose a tenth)


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution."""
  contiguous = geometry.strides == geometry.dilation == (1, 1)
  return len(x_shape) == 4 and contiguous and geometry.groups == 1


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own."""
  return kernel_shape[3] <= MAX_FEATURES and kernel_shape[3] < kernel_shape[2]


forward, input_gradient = direct.forward, direct.input_gradient


def kernel_gradient(
  x: jax.Array, gradient: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to the kernel [h, w, C, D].

  Its tap (i, j) is that of (h - 1 - i, w - 1 - j) of a kernel [h, w, D, C] which would turn the
  gradient, padded by what the window reaches over, into x.
  """
  *window, channels, features = kernel_shape
  around = tuple((k - 1 - a, k - 1 - b) for k, (a, b) in zip(window, geometry.padding))
  turned = (*window, features, channels)
  found = direct.kernel_gradient(gradient, x, turned, geometry._replace(padding=around))
  return jnp.flip(found, (0, 1)).swapaxes(2, 3)
