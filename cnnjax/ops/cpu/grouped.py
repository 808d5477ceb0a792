"""Convolutions in groups of channels: narrow groups are merged, with zeros between them.

XLA's own kernel gradient is a plain loop, which takes from ten to five hundred times as long, and
its forward convolution is slow where groups are narrow.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu import direct
from cnnjax.ops.geometry import Geometry, plain

MIN_CHANNELS = 16  # input channels of a group after merging, forward and for the input gradient
MAX_PARTS = 8  # convolutions that the kernel gradient is cut into


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution."""
  return len(x_shape) == 4 and geometry.groups > 1


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own: always."""
  return True


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns the convolution of x [B, H, W, C] with kernel [h, w, C/groups, D]."""
  return plain(x, *_wide(kernel, geometry))


def input_gradient(
  gradient: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to x from that with respect to the result [B, H', W', D]."""
  kernel, geometry = _wide(kernel, geometry)
  return direct.input_gradient(gradient, kernel, x_shape, geometry)


def kernel_gradient(
  x: jax.Array, gradient: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to the kernel."""
  groups = geometry.groups
  merged = _merged_groups(groups, math.ceil(groups / MAX_PARTS))
  parts, alone = groups // merged, geometry._replace(groups=1)
  shape = *kernel_shape[:2], merged * kernel_shape[2], kernel_shape[3] // parts
  pairs = lax.optimization_barrier([jnp.split(a, parts, 3) for a in (x, gradient)])
  found = [direct.kernel_gradient(*pair, shape, alone) for pair in zip(*pairs)]
  found = jnp.concatenate(found, 3)
  back = jax.linear_transpose(
    lambda kernel: _spread(kernel, groups, merged), jax.ShapeDtypeStruct(kernel_shape, found.dtype)
  )
  return back(found)[0]


def _wide(kernel, geometry):
  """Returns a kernel and geometry of fewer groups that compute the same."""
  merged = _merged_groups(geometry.groups, math.ceil(MIN_CHANNELS / kernel.shape[2]))
  if merged == 1:
    return kernel, geometry
  kernel = lax.optimization_barrier(_spread(kernel, geometry.groups, merged))
  return kernel, geometry._replace(groups=geometry.groups // merged)


def _merged_groups(groups: int, least: int) -> int:
  """Returns how many groups to merge into one: the least divisor from `least` on, or all."""
  return min((n for n in range(least, groups) if groups % n == 0), default=groups)


def _spread(kernel: jax.Array, groups: int, merged: int) -> jax.Array:
  """Returns a kernel [h, w, c, D] as one of groups / merged groups, [h, w, merged x c, D]."""
  height, width, channels, features = kernel.shape
  own = jnp.eye(merged, dtype=bool)[:, None, None, :, None]
  each = kernel.reshape(height, width, 1, channels, groups // merged, merged, features // groups)
  return jnp.where(own, each, 0).reshape(height, width, merged * channels, features)
