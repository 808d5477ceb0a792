"""Few input channels: blocks of neighbouring columns of the result become its channels.

A block of T columns sees T + k - 1 columns of the input. Those of each block laid side by side are
the channels of an image of W'/T columns, and the kernel, T times beside itself, becomes one of
window [h, 1] (a block-Toeplitz matrix): more multiply-adds, but in products wide enough for XLA.
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu import direct
from cnnjax.ops.cpu.windows import pad
from cnnjax.ops.geometry import Geometry, plain

FEW = 8  # input channels up to which it pays
AT_ONCE = 8  # columns in a block, at most


def fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether this form computes such a convolution."""
  still = geometry.strides == geometry.dilation == (1, 1)
  if len(x_shape) != 4 or not still or geometry.groups != 1:
    return False
  return kernel_shape[1] - 1 <= _block(x_shape, kernel_shape, geometry)[0]


def pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry) -> bool:
  """Whether it is faster than XLA's own."""
  return x_shape[3] <= FEW and kernel_shape[1] > 1


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns x [B, H, W, C] by kernel [h, k, C, D]."""
  block, places = _block(x.shape, kernel.shape, geometry)
  rows, width, channels, features = kernel.shape
  left, blocks = geometry.padding[1][0], -(-places // block)
  whole = (blocks + 1) * block - left - x.shape[2]
  x = pad(x, ((0, 0), (left, whole))).reshape(*x.shape[:2], blocks + 1, block * channels)
  beyond = x[:, :, 1:, : (width - 1) * channels]  # what a block sees of the next one
  wide = lax.optimization_barrier(jnp.concatenate([x[:, :, :-1], beyond], axis=-1))
  shifted = [pad(kernel, ((t, block - 1 - t), (0, 0))) for t in range(block)]
  toeplitz = jnp.stack(shifted, 3).reshape(rows, 1, wide.shape[3], block * features)
  y = plain(wide, toeplitz, geometry._replace(padding=(geometry.padding[0], (0, 0))))
  return y.reshape(*y.shape[:2], blocks * block, features)[:, :, :places]


input_gradient, _ = direct.gradients(forward)
kernel_gradient = direct.kernel_gradient  # XLA's is as fast


def _block(
  x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry
) -> tuple[int, int]:
  """Returns the columns of a block and of the result; the former divides the latter if it can."""
  places = x_shape[2] + sum(geometry.padding[1]) - kernel_shape[1] + 1
  least = max(1, kernel_shape[1] - 1)
  divisors = [n for n in range(least, AT_ONCE + 1) if places % n == 0]
  return max(divisors, default=AT_ONCE), places
