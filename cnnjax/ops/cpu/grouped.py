"""Convolutions in groups of channels: some groups are made one, with zeros between them.

XLA's own way to the kernel is a plain loop, which takes from ten to five hundred times as long, and
its way there is slow where groups are narrow.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu import direct
from cnnjax.ops.geometry import Geometry, plain

WIDE = 16  # input channels of a group that is wide enough
PARTS = 8  # convolutions that the way back to the kernel is cut into, at most


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form computes such a convolution."""
  return len(x_shape) == 4 and geometry.groups > 1


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own: always."""
  return True


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns x [B, H, W, C] by kernel [h, w, C/groups, D]."""
  return plain(x, *_wide(kernel, geometry))


def input_gradient(
  slope: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to x from that of the result, [B, H', W', D]."""
  kernel, geometry = _wide(kernel, geometry)
  return direct.input_gradient(slope, kernel, x_shape, geometry)


def kernel_gradient(
  x: jax.Array, slope: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to the kernel."""
  groups = geometry.groups
  made = _one_of(groups, math.ceil(groups / PARTS))
  parts, alone = groups // made, geometry._replace(groups=1)
  shape = *kernel_shape[:2], made * kernel_shape[2], kernel_shape[3] // parts
  pairs = lax.optimization_barrier([jnp.split(a, parts, 3) for a in (x, slope)])
  found = [direct.kernel_gradient(*pair, shape, alone) for pair in zip(*pairs)]
  found = jnp.concatenate(found, 3)
  back = jax.linear_transpose(
    lambda kernel: _spread(kernel, groups, made), jax.ShapeDtypeStruct(kernel_shape, found.dtype)
  )
  return back(found)[0]


def _wide(kernel, geometry):
  """Returns a kernel and geometry of fewer groups that compute the same."""
  made = _one_of(geometry.groups, math.ceil(WIDE / kernel.shape[2]))
  if made == 1:
    return kernel, geometry
  kernel = lax.optimization_barrier(_spread(kernel, geometry.groups, made))
  return kernel, geometry._replace(groups=geometry.groups // made)


def _one_of(groups: int, least: int) -> int:
  """Returns how many groups are made one: at least so many, if there are."""
  return min((n for n in range(least, groups) if groups % n == 0), default=groups)


def _spread(kernel: jax.Array, groups: int, made: int) -> jax.Array:
  """Returns a kernel [h, w, c, D] as one of groups / made groups, [h, w, made x c, D]."""
  height, width, channels, features = kernel.shape
  own = jnp.eye(made, dtype=bool)[:, None, None, :, None]
  each = kernel.reshape(height, width, 1, channels, groups // made, made, features // groups)
  return jnp.where(own, each, 0).reshape(height, width, made * channels, features)
