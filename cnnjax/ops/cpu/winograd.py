"""Winograd's F(2x2, 3x3): a 3x3 convolution by 16 products for 4 results instead of 36.

Lavin and Gray, arXiv:1509.09308, section 4.1. A tile of 2x2 results reads 4x4 pixels. Tiles and
kernel are both transformed to 4x4 entries, and each entry is one matrix product, of all tiles with
all channels. Rounding errors are 3e-7 to 1.3e-6 of the largest value in float32.
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

B_T = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # of a tile of pixels
G = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # of the kernel
A_T = ((1, 1, 1, 0), (0, 1, -1, -1))  # of the result
REVERSED = (3, 1, 2, 0)  # G times a reversed kernel: G times the kernel, its rows in this order

MIN_CHANNELS = 128  # in and out, from which it is faster; 64 gain nothing (docs/lab-book.md)
MIN_CHANNELS_KERNEL_GRADIENT = 256
MIN_PIXELS = 100  # of an image: 7x7 pixels are 4x4 tiles, a quarter of whose results is cut off

Matrix = Sequence[Sequence[float]]
Entries = dict[tuple[int, int], jax.Array]  # of a small matrix of arrays, by (row, column)


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution."""
  contiguous = geometry.strides == geometry.dilation == (1, 1)
  return kernel_shape[:-2] == (3, 3) and contiguous and geometry.groups == 1


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own."""
  return min(kernel_shape[2:]) >= MIN_CHANNELS and x_shape[1] * x_shape[2] >= MIN_PIXELS


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns the convolution of x [B, H, W, C] with kernel [3, 3, C, D]."""
  return _convolved(x, _taps(kernel), geometry)


def input_gradient(
  gradient: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to x: that of the result convolved with the reversed kernel.

  The transform of a reversed kernel has the same entries in another order, so that only the matrix
  products transpose anything.
  """
  taps = _taps(kernel)
  reversed_taps = {(i, j): taps[REVERSED[i], REVERSED[j]].T for i, j in taps}
  around = tuple((2 - a, 2 - b) for a, b in geometry.padding)
  return _convolved(gradient, reversed_taps, geometry._replace(padding=around))


def kernel_gradient(
  x: jax.Array, gradient: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to the kernel [3, 3, C, D]."""
  if min(kernel_shape[2:]) < MIN_CHANNELS_KERNEL_GRADIENT:
    return direct.kernel_gradient(x, gradient, kernel_shape, geometry)
  sizes = gradient.shape[1:3]
  rows = _cut(pad(gradient, tuple((0, n % 2) for n in sizes)), 2, [-(-n // 2) for n in sizes])
  pixels, tiles = _pixels(x, sizes, geometry), _transform(_transposed(A_T), *rows)
  found = lax.optimization_barrier({entry: pixels[entry].T @ tiles[entry] for entry in pixels})
  taps = _back_transform(_transposed(G), found)
  return jnp.stack([taps[entry] for entry in product(range(3), repeat=2)]).reshape(kernel_shape)


def _pixels(x: jax.Array, sizes: Sequence[int], geometry: Geometry) -> Entries:
  """Returns the transformed pixels of all tiles, each [tiles, C], for a result of these sizes."""
  padded = pad(x, tuple((a, b + n % 2) for (a, b), n in zip(geometry.padding, sizes)))
  return _transform(B_T, *_cut(padded, 4, [-(-n // 2) for n in sizes]))


def _taps(kernel: jax.Array) -> Entries:
  """Returns the entries of the transformed kernel, each [C, D]."""
  return _transform(G, list(kernel), list)


def _convolved(x: jax.Array, taps: Entries, geometry: Geometry) -> jax.Array:
  """Returns the convolution of x [B, H, W, C] with a transformed kernel, each entry [C, D]."""
  sizes = [n + sum(p) - 2 for n, p in zip(x.shape[1:3], geometry.padding)]
  pixels = _pixels(x, sizes, geometry)
  found = lax.optimization_barrier({entry: pixels[entry] @ taps[entry] for entry in pixels})
  return _interleave(_back_transform(A_T, found), (x.shape[0], *sizes, taps[0, 0].shape[1]))


def _cut(x: jax.Array, size: int, tiles: Sequence[int]) -> tuple[list[jax.Array], Callable]:
  """Returns the rows of all tiles, and a function that cuts each into its columns [tiles, C]."""

  def every_second(x, axis):
    count = 2 * tiles[axis - 1] - 1
    return [lax.slice_in_dim(x, i, i + count, 2, axis) for i in range(size)]

  return every_second(x, 1), lambda row: [c.reshape(-1, x.shape[3]) for c in every_second(row, 2)]


def _transform(matrix: Matrix, rows: Sequence[jax.Array], columns: Callable) -> Entries:
  """Returns M P M^T for a matrix M and P, given as its rows and a function from row to columns.

  M P is stored behind a barrier, so that the same loop follows for each of its rows, compiled once.
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


def _back_transform(matrix: Matrix, entries: Entries) -> Entries:
  """Returns M P M^T for a matrix M and the matrix P of these entries."""
  size = range(len(matrix[0]))
  down = {
    (i, j): _combine(factors, [entries[k, j] for k in size])
    for i, factors in enumerate(matrix)
    for j in size
  }
  return {
    (i, j): _combine(factors, [down[i, k] for k in size])
    for i in range(len(matrix))
    for j, factors in enumerate(matrix)
  }


def _combine(factors: Sequence[float], parts: Sequence[jax.Array]) -> jax.Array:
  """Returns the sum of factor times part, without multiplying by a factor of 0 or 1."""
  return reduce(jnp.add, [part if f == 1 else f * part for f, part in zip(factors, parts) if f])


def _transposed(matrix):
  return tuple(zip(*matrix))


def _interleave(entries: Entries, shape: tuple[int, ...]) -> jax.Array:
  """Returns [B, H, W, D] whose pixel (2h + i, 2w + j) is entry (i, j) of tile (h, w)."""
  batch, height, width, channels = shape
  tiles = batch, -(-height // 2), -(-width // 2), channels
  rows = [jnp.stack([entries[i, j].reshape(tiles) for j in range(2)], 3) for i in range(2)]
  whole = jnp.stack(rows, 2).reshape(batch, 2 * tiles[1], 2 * tiles[2], channels)
  return whole[:, :height, :width]
