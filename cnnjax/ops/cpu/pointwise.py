"""1x1 convolutions: a stride is a slice in front, gradients are products of matrices."""

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.geometry import Geometry, plain


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form computes such a convolution."""
  return (
    len(x_shape) == 4
    and kernel_shape[:2] == (1, 1)
    and geometry.groups == 1
    and geometry.padding == ((0, 0), (0, 0))
  )


def _still(geometry):
  return geometry._replace(strides=(1, 1))


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own: always."""
  return True


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns x [B, H, W, C] by kernel [1, 1, C, D]."""
  if geometry.strides != (1, 1):
    across, down = geometry.strides
    x = lax.optimization_barrier(x[:, ::across, ::down])
  return plain(x, kernel, _still(geometry))


def input_gradient(
  slope: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to x from that of the result, [B, H', W', D]."""
  found = plain(slope, kernel.swapaxes(2, 3), _still(geometry))
  if geometry.strides == (1, 1):
    return found
  config = [(0, 0, 0)]
  for size, places, stride in zip(x_shape[1:3], found.shape[1:3], geometry.strides):
    config.append((0, size - (places - 1) * stride - 1, stride - 1))
  return lax.pad(found, jnp.zeros((), found.dtype), [*config, (0, 0, 0)])


def kernel_gradient(
  x: jax.Array, slope: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to the kernel; the narrower side is transposed, once."""
  if geometry.strides != (1, 1):
    across, down = geometry.strides
    x = x[:, ::across, ::down]
  x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
  if x.shape[1] <= slope.shape[1]:
    found = lax.optimization_barrier(x.T) @ slope
  else:
    found = (lax.optimization_barrier(slope.T) @ x).T
  return found.reshape(kernel_shape)
