"""3x3 convolutions with 16 products for 4 results where there are 36: F(2x2, 3x3).

Lavin and Gray, arXiv:1509.09308, section 4.1. A tile of 2x2 results sees 4x4 pixels; both kernel
and tile are transformed to 4x4 places, and for each place all tiles by all channels are one product
of matrices. Rounding is that of float32 (relative to the largest value 3e-7 to 1.3e-6).
"""

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu import direct
from cnnjax.ops.cpu.windows import pad
from cnnjax.ops.geometry import Geometry

B_T = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # tile of pixels
G = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # kernel
A_T = ((1, 1, 1, 0), (0, 1, -1, -1))  # result
TURNED = (3, 1, 2, 0)  # the rows of G as a kernel that is turned round meets them

PAYS = 128  # channels on both sides from which the transformations are earned back
PAYS_KERNEL = 256  # likewise for the kernel's gradient
PIXELS = 100  # of a map, at least: 7x7 is 4x4 tiles, a third of them margin

Matrix = Sequence[Sequence[float]]
Places = dict[tuple[int, int], jax.Array]


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form computes such a convolution."""
  still = geometry.strides == geometry.dilation == (1, 1)
  return kernel_shape[:-2] == (3, 3) and still and geometry.groups == 1


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own."""
  return min(kernel_shape[2:]) >= PAYS and x_shape[1] * x_shape[2] >= PIXELS


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns x [B, H, W, C] by kernel [3, 3, C, D]."""
  return _convolved(x, _taps(kernel), geometry)


def input_gradient(
  slope: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to x: the slope of the result by the kernel turned round.

  The turned kernel transformed is the kernel transformed, turned: no tap is transposed but by the
  products.
  """
  taps = _taps(kernel)
  turned = {(i, j): taps[TURNED[i], TURNED[j]].T for i, j in taps}
  around = tuple((2 - a, 2 - b) for a, b in geometry.padding)
  return _convolved(slope, turned, geometry._replace(padding=around))


def kernel_gradient(
  x: jax.Array, slope: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the slope with respect to the kernel [3, 3, C, D]."""
  if min(kernel_shape[2:]) < PAYS_KERNEL:
    return direct.kernel_gradient(x, slope, kernel_shape, geometry)
  sizes = slope.shape[1:3]
  slopes = _cut(pad(slope, tuple((0, n % 2) for n in sizes)), 2, [-(-n // 2) for n in sizes])
  pixels, tiles = _pixels(x, sizes, geometry), _transform(_turn(A_T), *slopes)
  found = lax.optimization_barrier({place: pixels[place].T @ tiles[place] for place in pixels})
  taps = _joined(_turn(G), found)
  return jnp.stack([taps[place] for place in product(range(3), repeat=2)]).reshape(kernel_shape)


def _pixels(x: jax.Array, sizes: Sequence[int], geometry: Geometry) -> Places:
  """Returns the transformed pixels of all tiles of a result of these sizes, [tiles, C] a place."""
  padded = pad(x, tuple((a, b + n % 2) for (a, b), n in zip(geometry.padding, sizes)))
  return _transform(B_T, *_cut(padded, 4, [-(-n // 2) for n in sizes]))


def _taps(kernel: jax.Array) -> Places:
  """Returns the transformed kernel, [C, D] a place."""
  return _transform(G, list(kernel), list)


def _convolved(x: jax.Array, taps: Places, geometry: Geometry) -> jax.Array:
  """Returns x [B, H, W, C] by a transformed kernel, [C, D] a place."""
  sizes = [n + sum(p) - 2 for n, p in zip(x.shape[1:3], geometry.padding)]
  pixels = _pixels(x, sizes, geometry)
  found = lax.optimization_barrier({place: pixels[place] @ taps[place] for place in pixels})
  return _interleave(_joined(A_T, found), (x.shape[0], *sizes, taps[0, 0].shape[1]))


def _cut(x: jax.Array, size: int, tiles: Sequence[int]) -> tuple[list[jax.Array], Callable]:
  """Returns the rows of each place of a tile, and what cuts those into its columns, [tiles, C]."""

  def every_second(x, axis):
    count = 2 * tiles[axis - 1] - 1
    return [lax.slice_in_dim(x, i, i + count, 2, axis) for i in range(size)]

  return every_second(x, 1), lambda row: [c.reshape(-1, x.shape[3]) for c in every_second(row, 2)]


def _transform(matrix: Matrix, rows: Sequence[jax.Array], columns: Callable) -> Places:
  """Returns M P M^T for a matrix M and P, given as its rows and what cuts a row into its columns.

  M P is written out: what follows is then the same loop for each of its rows, compiled once.
  """
  down = lax.optimization_barrier([_combine(factors, rows) for factors in matrix])
  across = [columns(row) for row in down]
  return lax.optimization_barrier(
    {
      (i, j): _combine(factors, across[i])
      for i in range(len(matrix))
      for j, factors in enumerate(matrix)
    }
  )


def _joined(matrix: Matrix, places: Places) -> Places:
  """Returns M P M^T for a matrix M and the matrix P of arrays at places."""
  size = range(len(matrix[0]))
  down = {
    (i, j): _combine(factors, [places[k, j] for k in size])
    for i, factors in enumerate(matrix)
    for j in size
  }
  return {
    (i, j): _combine(factors, [down[i, k] for k in size])
    for i in range(len(matrix))
    for j, factors in enumerate(matrix)
  }


def _combine(factors: Sequence[float], parts: Sequence[jax.Array]) -> jax.Array:
  """Returns the sum of factor times part, without what a factor of 0 or 1 would cost."""
  return reduce(jnp.add, [part if f == 1 else f * part for f, part in zip(factors, parts) if f])


def _turn(matrix):
  return tuple(zip(*matrix))


def _interleave(places: Places, shape: tuple[int, ...]) -> jax.Array:
  """Returns [B, H, W, D] whose pixels (2h + i, 2w + j) are those of place (i, j)."""
  batch, height, width, channels = shape
  tiles = batch, -(-height // 2), -(-width // 2), channels
  rows = [jnp.stack([places[i, j].reshape(tiles) for j in range(2)], 3) for i in range(2)]
  whole = jnp.stack(rows, 2).reshape(batch, 2 * tiles[1], 2 * tiles[2], channels)
  return whole[:, :height, :width]
