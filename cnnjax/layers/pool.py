"""Layers without parameters: they are modules so that a summary shows their rows."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.ops.conv import Padding, Sizes
from cnnjax.ops.pool import adaptive_avg_pool, avg_pool, max_pool


class MaxPool(nn.Module):
  """`ops.pool.max_pool` as a layer."""

  window: Sizes
  strides: Sizes | None = None
  padding: Padding = 0
  ceil: bool = False

  def __call__(self, x: jax.Array) -> jax.Array:
    return max_pool(x, self.window, self.strides, self.padding, self.ceil)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0: comparisons are not counted."""
    return 0


class AvgPool(nn.Module):
  """`ops.pool.avg_pool` as a layer."""

  window: Sizes
  strides: Sizes | None = None
  padding: Padding = 0
  count_padding: bool = True

  def __call__(self, x: jax.Array) -> jax.Array:
    return avg_pool(x, self.window, self.strides, self.padding, self.count_padding)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0: additions alone are not counted."""
    return 0


class AdaptiveAvgPool(nn.Module):
  """`ops.pool.adaptive_avg_pool` as a layer."""

  size: Sizes

  def __call__(self, x: jax.Array) -> jax.Array:
    return adaptive_avg_pool(x, self.size)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0: additions alone are not counted."""
    return 0


class PyramidPool(nn.Module):
  """[B, H, W, C] -> [B, sum of n^2, C]: the maxima of n x n parts for each n of `sizes`.

  SPPnet's (arXiv:1406.4729, section 2.2); parts share cells where n does not divide the map.
  """

  sizes: Sequence[int]

  def __call__(self, x: jax.Array) -> jax.Array:
    cuts = [[_parts(length, n) for length in x.shape[1:3]] for n in self.sizes]
    parts = [x[:, y, z].max((1, 2)) for rows, columns in cuts for y in rows for z in columns]
    return jnp.stack(parts, 1)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0: comparisons are not counted."""
    return 0


def _parts(length: int, count: int) -> list[slice]:
  """Returns the parts of a side of length n, floor(i n / count) to ceil((i + 1) n / count)."""
  return [slice(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


class GlobalAvgPool(nn.Module):
  """[B, *space, C] -> [B, C], the mean of each map."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return x.mean(tuple(range(1, x.ndim - 1)))

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0: additions alone are not counted."""
    return 0


class Flatten(nn.Module):
  """[B, ...] -> [B, N]."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0: nothing is computed."""
    return 0
