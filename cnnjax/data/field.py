"""Maps of volumes that are one matrix for each axis: smooth fields, blurs, coarser voxels.

A product with a small matrix is faster than gathers along an axis: on a CPU an upsampling takes a
quarter of the time.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

SPACING = 32  # voxels between control points of a smooth deformation, as in arXiv:1606.06650
AXES = ("bij,bjhwc->bihwc", "bij,bdjwc->bdiwc", "bij,bdhjc->bdhic")
EXACT = jax.lax.Precision.HIGHEST  # accelerators round the factors of a product otherwise


def drawn(draw: Callable, key: jax.Array, shape: Sequence[int], **bounds: float) -> jax.Array:
  """Returns draw(key, shape), such as `jax.random.normal`, which XLA's CPU compiles faster flat."""
  return draw(key, (math.prod(shape),), **bounds).reshape(shape)


def along(volumes: jax.Array, matrices: Sequence[jax.Array]) -> jax.Array:
  """Returns volumes [B, *S, C] after a matrix [B, T, S] along each axis, [B, *T, C].

  A matrix [T, S] is that of all examples.
  """
  for sums, matrix in zip(AXES, matrices):
    matrix = jnp.broadcast_to(matrix, (len(volumes), *matrix.shape[-2:]))
    volumes = jnp.einsum(sums, matrix, volumes, precision=EXACT)
  return volumes


def spline(size: int) -> jax.Array:
  """Returns the cubic B-splines of control points every `SPACING` voxels, [size, points].

  The first point lies one spacing before the first voxel; the splines add up to 1.
  """
  points = (size - 1) // SPACING + 4
  away = jnp.abs(jnp.arange(size)[:, None] / SPACING - (jnp.arange(points) - 1))
  inner, outer = (4 - 6 * away**2 + 3 * away**3) / 6, jnp.maximum(2 - away, 0) ** 3 / 6
  return jnp.where(away < 1, inner, outer)


def powers(size: int, degree: int) -> jax.Array:
  """Returns the powers from 0 to `degree` of positions from -1 to 1, [size, degree + 1]."""
  return jnp.linspace(-1, 1, size)[:, None] ** jnp.arange(degree + 1)


def gaussian(sigma: jax.Array, size: int, radius: int) -> jax.Array:
  """Returns Gaussians of deviations sigma [B] in voxels as matrices [B, size, size].

  They end at a radius; beyond the border its voxel is repeated.
  """
  offsets = jnp.arange(-radius, radius + 1)
  weights = jax.nn.softmax(-0.5 * jnp.square(offsets / sigma[:, None]), -1)
  beside = jnp.clip(jnp.arange(size)[:, None] + offsets, 0, size - 1)
  return jnp.einsum("bk,ikj->bij", weights, jax.nn.one_hot(beside, size), precision=EXACT)


def coarse(factor: jax.Array, size: int) -> jax.Array:
  """Returns matrices [B, size, size] that leave round(factor [B] * size) voxels, and go back.

  Of several voxels the one in the middle is taken, and between those that are left values are
  linear.
  """
  left = jnp.maximum(jnp.round(factor * size), 1)[:, None]
  places = jnp.clip((jnp.arange(size) + 0.5) * left / size - 0.5, 0, left - 1)
  low = jnp.floor(places)

  def taken(place):
    nearest = jnp.floor((jnp.minimum(place, left - 1) + 0.5) * size / left)
    return jax.nn.one_hot(nearest.astype(jnp.int32), size)

  part = (places - low)[..., None]
  return (1 - part) * taken(low) + part * taken(low + 1)
