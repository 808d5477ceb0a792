"""Winograd's F(4, 3) along one axis: slabs of four rows, or of four slices of a volume.

Six rows, or slices, of the input give four of the result by 6 products instead of 12 (Lavin and
Gray, arXiv:1509.09308, section 4). Each product is a convolution over the axes that are left. Here
they are whole rows that are added up, which XLA does at the speed of memory, and of volumes no
slice is copied for each that reads it. The points of interpolation are 0, 1, -1, 1/2, -2 and
infinity: rounding errors are 1e-6 of the largest value in float32, with 2 and -1/2 or 2 and -2
they are a third to two thirds more.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu import direct, narrow, tiles
from cnnjax.ops.geometry import Geometry, output_size

ROWS, WINDOW = 4, 3  # of a slab of the result, and of the kernel
B_T = (  # of the six rows that a slab reads
  (1, -1.5, -2, 1.5, 1, 0),
  (0, -1, 0.5, 2.5, 1, 0),
  (0, 1, -2.5, 0.5, 1, 0),
  (0, -2, -1, 2, 1, 0),
  (0, 0.5, -1, -0.5, 1, 0),
  (0, 1, -1.5, -2, 1.5, 1),
)
G = (  # of the kernel
  (1, 0, 0),
  (1 / 3, 1 / 3, 1 / 3),
  (-1 / 3, 1 / 3, -1 / 3),
  (-16 / 15, -8 / 15, -4 / 15),
  (1 / 15, -2 / 15, 4 / 15),
  (0, 0, 1),
)
A_T = (  # of the result
  (1, 1, 1, 1, 1, 0),
  (0, 1, -1, 0.5, -2, 0),
  (0, 1, 1, 0.25, 4, 0),
  (0, 1, -1, 0.125, -8, 1),
)

Matrix = Sequence[Sequence[float]]

MIN_CHANNELS = 16  # in and out, from which it is faster; of images, 16 to 16 are not
MIN_WEIGHTS = {4: 512, 5: 256}  # channels in times channels out, of images and of volumes
MIN_PIXELS = 200  # of the result over the batch; below, the kernel's transform costs too much
LARGE = 2**22  # numbers of an x that caches do not hold, in which additions cost more
MIN_SAVED = 40  # there, for the kernel gradient: products saved for each number that is added up


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution."""
  along = kernel_shape[0], geometry.strides[0], geometry.dilation[0], geometry.groups
  return len(x_shape) in (4, 5) and along == (WINDOW, 1, 1, 1)


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own."""
  sizes, channels = output_size(x_shape, kernel_shape, geometry), kernel_shape[-2:]
  if min(channels) < MIN_CHANNELS or math.prod(channels) < MIN_WEIGHTS[len(x_shape)]:
    return False
  whole = sizes[0] * WINDOW >= -(-sizes[0] // ROWS) * (ROWS + WINDOW - 1) * 1.5  # few rows are cut
  return whole and x_shape[0] * math.prod(sizes) >= MIN_PIXELS


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns the convolution of x [B, *space, C] with kernel [3, *window, C, D]."""
  convolve = partial(direct.forward, geometry=_rest(geometry))
  return _convolved(x, kernel, geometry.padding[0], convolve)


def input_gradient(
  gradient: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to x from that with respect to the result [B, *space', D].

  Along the first axis it is a convolution with the reversed kernel, along the others the gradient
  of one.
  """
  rest, sides = _rest(geometry), ((1,) * (5 - len(x_shape)) + x_shape[2:])

  def back(gradient, kernel):
    return direct.input_gradient(gradient, kernel, (gradient.shape[0], *sides), rest)

  around = tuple(WINDOW - 1 - n for n in geometry.padding[0])
  return _convolved(gradient, kernel[::-1], around, back)


def kernel_gradient(
  x: jax.Array, gradient: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> jax.Array:
  """Returns the gradient with respect to the kernel [3, *window, C, D]."""
  convolution = x.shape, kernel_shape, geometry
  if narrow.fits(*convolution) and narrow.pays(*convolution):
    return narrow.kernel_gradient(x, gradient, kernel_shape, geometry)
  if x.ndim == 4 and _tiles_pay(x.shape, kernel_shape):
    return tiles.kernel_gradient(x, gradient, kernel_shape, geometry)
  rest, window = _rest(geometry), (1,) * (5 - len(kernel_shape)) + kernel_shape[1:]
  slabs = -(-gradient.shape[1] // ROWS)
  pixels = _transform(B_T, x, geometry.padding[0][0], slabs)
  found = [
    tiles.kernel_gradient(*pair, window, rest)
    for pair in zip(pixels, _transform(transposed(A_T), gradient, 0, slabs))
  ]
  taps = [combine(factors, lax.optimization_barrier(found)) for factors in transposed(G)]
  return jnp.stack(taps).reshape(kernel_shape)


def _tiles_pay(x_shape, kernel_shape):
  """Whether the kernel gradient of images is faster without transforms."""
  channels, features = kernel_shape[-2:]
  few = channels * features < MIN_SAVED * (channels + features)
  return few and math.prod(x_shape) >= LARGE


def combine(factors: Sequence[float], parts: Sequence[jax.Array]) -> jax.Array:
  """Returns the sum of factor times part, without multiplying by a factor of 0 or 1."""
  return reduce(jnp.add, [part if f == 1 else f * part for f, part in zip(factors, parts) if f])


def transposed(matrix: Matrix) -> Matrix:
  """Returns the transpose of a matrix."""
  return tuple(zip(*matrix))


def _convolved(
  x: jax.Array, kernel: jax.Array, padding: tuple[int, int], convolve: Callable
) -> jax.Array:
  """Returns x convolved along its first axis of space; `convolve` does so along the others."""
  length = x.shape[1] + sum(padding) - WINDOW + 1
  slabs = -(-length // ROWS)
  pixels = _transform(B_T, x, padding[0], slabs)
  window = (1,) * (5 - kernel.ndim) + kernel.shape[1:]
  taps = lax.optimization_barrier([combine(f, list(kernel)).reshape(window) for f in G])
  found = lax.optimization_barrier([convolve(*pair) for pair in zip(pixels, taps)])
  whole = jnp.stack([combine(factors, found) for factors in A_T], 1)  # [B x slabs, 4, H, W, D]
  whole = whole.reshape(x.shape[0], slabs * ROWS, *whole.shape[2:])[:, :length]
  return whole if x.ndim == 5 else whole[:, :, 0]


def _transform(matrix: Matrix, x: jax.Array, before: int, slabs: int) -> list[jax.Array]:
  """Returns for each row of the matrix the sums of x's rows in each slab, [B x slabs, H, W, C].

  Row j of slab n is x's row 4 n + j - `before`, 0 outside of x. The images are slices of a volume,
  or rows of an image, with an H of 1.
  """
  x = lax.optimization_barrier(x)  # else each sum computes again what x is concatenated from

  def row(j):
    """Row j of all slabs."""
    inside = [n for n in range(slabs) if 0 <= ROWS * n + j - before < x.shape[1]]
    if not inside:
      return jnp.zeros((x.shape[0], slabs, *x.shape[2:]), x.dtype)
    first, last = inside[0], inside[-1]
    start, stop = (ROWS * n + j - before for n in (first, last))
    values = lax.slice_in_dim(x, start, stop + 1, ROWS, 1)
    around = (first, slabs - 1 - last, 0)
    return lax.pad(values, jnp.zeros((), x.dtype), [(0, 0, 0), around, *[(0, 0, 0)] * (x.ndim - 2)])

  parts = [row(j) for j in range(len(matrix[0]))]
  shape = (-1, *(1,) * (5 - x.ndim), *x.shape[2:])
  return lax.optimization_barrier([combine(f, parts).reshape(shape) for f in matrix])


def _rest(geometry: Geometry) -> Geometry:
  """Returns the geometry of the images that are left: slices of a volume, or rows of an image."""
  strides, padding, dilation, _ = geometry
  if len(strides) == 2:
    return Geometry((1, strides[1]), ((0, 0), padding[1]), (1, dilation[1]), 1)
  return Geometry(strides[1:], padding[1:], dilation[1:], 1)
