"""Convolutions of few input channels: neighbouring columns of the result become its channels.

A block of T columns of the result reads T + k - 1 columns of the input, which become the channels
of an image of W'/T columns. T shifted copies of the kernel make its kernel, of window [h, 1] (a
block-Toeplitz matrix): more multiply-adds, but in products wide enough for XLA.
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu import direct
from cnnjax.ops.cpu.windows import pad
from cnnjax.ops.geometry import Geometry, plain

MAX_CHANNELS = 8  # input channels for which it is faster (docs/lab-book.md: 16 gain nothing)
MAX_BLOCK = 8  # columns of the result in a block


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form can compute such a convolution."""
  contiguous = geometry.strides == geometry.dilation == (1, 1)
  if len(x_shape) != 4 or not contiguous or geometry.groups != 1:
    return False
  return kernel_shape[1] - 1 <= _block(x_shape, kernel_shape, geometry)[0]


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own."""
  return x_shape[3] <= MAX_CHANNELS and kernel_shape[1] > 1


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns the convolution of x [B, H, W, C] with kernel [h, k, C, D]."""
  block, columns = _block(x.shape, kernel.shape, geometry)
  rows, width, channels, features = kernel.shape
  left, blocks = geometry.padding[1][0], -(-columns // block)
  right = (blocks + 1) * block - left - x.shape[2]
  x = pad(x, ((0, 0), (left, right))).reshape(*x.shape[:2], blocks + 1, block * channels)
  overlap = x[:, :, 1:, : (width - 1) * channels]  # the columns that a block reads of the next one
  wide = lax.optimization_barrier(jnp.concatenate([x[:, :, :-1], overlap], axis=-1))
  shifted = [pad(kernel, ((t, block - 1 - t), (0, 0))) for t in range(block)]
  toeplitz = jnp.stack(shifted, 3).reshape(rows, 1, wide.shape[3], block * features)
  y = plain(wide, toeplitz, geometry._replace(padding=(geometry.padding[0], (0, 0))))
  return y.reshape(*y.shape[:2], blocks * block, features)[:, :, :columns]


input_gradient, _ = direct.gradients(forward)
kernel_gradient = direct.kernel_gradient  # XLA's is as fast


def _block(
  x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry
) -> tuple[int, int]:
  """Returns the columns of a block and those of the result, a multiple of them if possible."""
  columns = x_shape[2] + sum(geometry.padding[1]) - kernel_shape[1] + 1
  least = max(1, kernel_shape[1] - 1)
  divisors = [n for n in range(least, MAX_BLOCK + 1) if columns % n == 0]
  return max(divisors, default=MAX_BLOCK), columns
