"""Random geometry of volumes: one map for each moves its voxels and their classes together."""

import itertools
import math

import jax
import jax.numpy as jnp

from cnnjax.data.field import EXACT, along, drawn, spline
from cnnjax.ops.segmentation import VOID

PLANES = 16  # of all volumes that are sampled at once: 18 ms of a CPU's time for 8 of 48x64x48,
# where the places of all voxels together take 47, for the memory that they fill


def random_maps(
  key: jax.Array,
  count: int,
  size: tuple[int, int, int],
  *,
  rotate: float = 0.0,
  scale: tuple[float, float] = (1.0, 1.0),
  shear: float = 0.0,
  translate: float = 0.0,
  probability: float = 1.0,
) -> jax.Array:
  """Returns maps [count, 3, 4] from an output's (depth, row, column, 1) to a place in the input.

  Args:
    key: of the random draws.
    count: number of volumes.
    size: (depth, height, width) of the volumes.
    rotate: largest angle in degrees, in either direction, about each axis through the centre.
    scale: least and largest factor by which the content grows, along all axes alike.
    shear: largest angle in degrees by which each axis leans towards one before it.
    translate: largest part of the depth, of the height and of the width to move by.
    probability: with which each of the four is applied to a volume.
  """
  coins, how = jax.random.split(key)
  parts = drawn(jax.random.uniform, how, (count, 10), minval=-1)
  angles, leans, moves, sizes = jnp.split(parts, (3, 6, 9), 1)
  coins = drawn(jax.random.uniform, coins, (count, 4)) < probability
  turned, leaning, moved, scaled = jnp.split(coins, 4, 1)
  least, largest = (math.log(factor) for factor in scale)
  zoom = jnp.exp(scaled * -(least + (largest - least) * (sizes + 1) / 2))
  linear = _slant(jnp.tan(leaning * leans * math.radians(shear))) * zoom[..., None]
  for axis in range(3):
    angle = turned[:, 0] * angles[:, axis] * math.radians(rotate)
    linear = jnp.matmul(_turn(axis, angle), linear, precision=EXACT)
  centre = (jnp.asarray(size) - 1) / 2
  offset = centre - jnp.matmul(linear, centre, precision=EXACT)
  offset += moved * moves * translate * jnp.asarray(size)
  return jnp.concatenate([linear, offset[..., None]], -1)


def _slant(lean: jax.Array) -> jax.Array:
  """Returns maps [B, 3, 3] that move each axis by parts [B, 3] of those before it."""
  one, none, (a, b, c) = jnp.ones(len(lean)), jnp.zeros(len(lean)), lean.T
  return jnp.stack([one, none, none, a, one, none, b, c, one], -1).reshape(-1, 3, 3)


def _turn(axis: int, angle: jax.Array) -> jax.Array:
  """Returns rotations [B, 3, 3] about an axis by angles [B]."""
  cos, sin, one, none = jnp.cos(angle), jnp.sin(angle), jnp.ones_like(angle), jnp.zeros_like(angle)
  first = jnp.stack([one, none, none, none, cos, -sin, none, sin, cos], -1).reshape(-1, 3, 3)
  return jnp.roll(first, (axis, axis), (1, 2))


def random_bends(
  key: jax.Array,
  count: int,
  size: tuple[int, int, int],
  deviation: float,
  probability: float = 1.0,
) -> jax.Array:
  """Returns displacements of control points in voxels, [count, *points, 3], for `warp`.

  They are normal with this deviation, and with a probability not all 0 (Çiçek et al.,
  arXiv:1606.06650, whose deviation is 4).
  """
  chosen, how = jax.random.split(key)
  points = drawn(jax.random.normal, how, (count, *(spline(n).shape[1] for n in size), 3))
  return deviation * points * jax.random.bernoulli(chosen, probability, (count, 1, 1, 1, 1))


def warp(
  volumes: jax.Array,
  maps: jax.Array,
  bends: jax.Array | None = None,
  segments: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array | None]:
  """Returns volumes [B, D, H, W, C] and segments [B, D, H, W] after maps [B, 3, 4] and bends.

  Values are linear between voxels. What comes from outside is 0, which is the mean of a normalised
  volume, as in nnU-Net; its class is void, so that no loss counts it. Classes are those of the
  nearest voxel.
  """
  size = volumes.shape[1:4]
  values = _bordered(volumes, 0)
  labels = None if segments is None else _bordered(segments[..., None], VOID)
  count = min(PLANES, size[0])

  def slab(number, found):
    first = jnp.minimum(number * count, size[0] - count)  # the last ones may be sampled twice
    # An index and the rest of its place have to come from the same bits: without the barrier they
    # may be computed apart, rounded in two ways, and a voxel is then taken for the one beside it.
    places = jax.lax.optimization_barrier(_places(first + jnp.arange(count), size, maps, bends))
    parts = _linear(values, places), None if labels is None else _nearest(labels, places)
    put = lambda whole, part: jax.lax.dynamic_update_slice_in_dim(  # noqa: E731
      whole, part.astype(whole.dtype), first, 1
    )
    return jax.tree.map(put, found, parts)

  return jax.lax.fori_loop(0, -(-size[0] // count), slab, (volumes, segments))


def _places(depths, size, maps, bends):
  """Returns where the voxels of planes come from, [B, 3, planes, H, W]."""
  at = (depths[:, None, None], jnp.arange(size[1])[:, None], jnp.arange(size[2]))
  by = maps[..., None, None, None]
  axes = [by[:, k, 3] + sum(by[:, k, i] * at[i] for i in range(3)) for k in range(3)]
  if bends is not None:
    rows = [spline(n) for n in size]
    moved = along(bends, (rows[0][depths], *rows[1:]))
    axes = [axis + moved[..., k] for k, axis in enumerate(axes)]
  return jnp.stack(axes, 1)


def _bordered(volumes, outside):
  """Returns volumes with a border of one voxel from outside."""
  return jnp.pad(volumes, [(0, 0), (1, 1), (1, 1), (1, 1), (0, 0)], constant_values=outside)


def _linear(bordered, places):
  """Returns values [B, ..., C] at places [B, 3, ...], of which -1 and the size lie outside."""
  limit = _each_axis(bordered.shape[1:4], places) - 2
  places = jnp.clip(places, -1, limit)
  low = jnp.minimum(jnp.floor(places), limit - 1)
  part = (places - low)[..., None]
  weights = [(1 - part[:, k], part[:, k]) for k in range(3)]
  first, steps, found = _index(bordered, low), _steps(bordered), 0
  for corner in itertools.product((0, 1), repeat=3):
    weight = math.prod(weights[k][side] for k, side in enumerate(corner))
    found += weight * _at(bordered, first + sum(s for s, side in zip(steps, corner) if side))
  return found


def _nearest(bordered, places):
  """Returns the label [B, ...] of the voxel that is nearest to places [B, 3, ...]."""
  limit = _each_axis(bordered.shape[1:4], places) - 2
  nearest = jnp.clip(jnp.floor(places + 0.5), -1, limit)
  return _at(bordered, _index(bordered, nearest))[..., 0]


def _steps(bordered):
  """Returns how many voxels further the next one along each axis lies."""
  height, width = bordered.shape[2:4]
  return height * width, width, 1


def _index(bordered, voxels):
  """Returns which voxel of its volume each of voxels [B, 3, ...] is; the border's first is -1."""
  return ((voxels.astype(jnp.int32) + 1) * _each_axis(_steps(bordered), voxels)).sum(1)


def _at(bordered, index):
  """Returns values [B, ..., C] of volumes at an index [B, ...] inside of each."""
  flat = bordered.reshape(len(bordered), -1, bordered.shape[-1])
  return jax.vmap(lambda values, at: values.at[at].get(mode="promise_in_bounds"))(flat, index)


def _each_axis(numbers, places):
  """Returns three numbers in the shape in which they combine with places [B, 3, ...]."""
  return jnp.asarray(numbers).reshape(3, *(1,) * (places.ndim - 2))
