"""What each tap of a window reads, and the sum of values back into the pixels that were read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Pairs = tuple[tuple[int, int], ...]


def taps(window: tuple[int, ...], dilation: tuple[int, ...] = (1, 1)) -> Iterator[tuple[int, ...]]:
  """Yields (i, j, row, column) of each tap: its indices in the window, its first padded pixel."""
  for i, j in product(range(window[0]), range(window[1])):
    yield i, j, i * dilation[0], j * dilation[1]


def pad(x: jax.Array, padding: Pairs, value: Any = 0) -> jax.Array:
  """Returns x [B, H, W, C] padded with a value; a negative padding cuts rows or columns off."""
  around = [(0, 0, 0), *((a, b, 0) for a, b in padding), (0, 0, 0)]
  return lax.pad(x, jnp.asarray(value, x.dtype), around)


def tap_values(
  padded: jax.Array, row: int, column: int, sizes: tuple[int, int], strides: tuple[int, int]
) -> jax.Array:
  """Returns what a tap reads for each of the (H', W') output pixels, [B, H', W', C]."""
  (h, w), (s, t) = sizes, strides
  return padded[:, row : row + (h - 1) * s + 1 : s, column : column + (w - 1) * t + 1 : t]


def tap_phases(
  window: tuple[int, ...],
  x_shape: tuple[int, ...],
  sizes: Sequence[int],
  strides: tuple[int, int],
  padding: Pairs,
  dilation: tuple[int, int] = (1, 1),
) -> Iterator[tuple[tuple[int, int], Pairs]]:
  """Yields for each tap the phase of the pixels that it reads, and the padding that aligns it.

  Phase (p, q) is the pixels (s h + p, t w + q) of strides (s, t). An array [B, H', W', C], a value
  for each output pixel, has its values over the pixels of the phase that the tap reads once it is
  padded so, or cut where the padding is negative.
  """
  (s, t), ((top, _), (left, _)) = strides, padding
  height, width = -(-x_shape[1] // s), -(-x_shape[2] // t)
  for _, _, row, column in taps(window, dilation):
    p, q = (row - top) % s, (column - left) % t
    # Input row s h + p is read for output row h + down.
    down, right = (p + top - row) // s, (q + left - column) // t
    around = (-down, height + down - sizes[0]), (-right, width + right - sizes[1])
    yield (p, q), around


def add_phases(
  parts: Iterable[tuple[tuple[int, int], jax.Array]],
  x_shape: tuple[int, ...],
  strides: tuple[int, int],
) -> jax.Array:
  """Returns [B, H, W, C], each phase the sum of its parts (phase, [B, ceil(H/s), ceil(W/t), C])."""
  phases = {}
  for phase, part in parts:
    phases[phase] = phases[phase] + part if phase in phases else part
  return interleave(phases, x_shape, strides)


def interleave(
  phases: dict[tuple[int, int], jax.Array], x_shape: tuple[int, ...], strides: tuple[int, int]
) -> jax.Array:
  """Returns [B, H, W, C] whose pixels (s h + p, t w + q) are phase (p, q), 0 where it is missing.

  Args:
    phases: each [B, ceil(H / s), ceil(W / t), C].
    x_shape: the result's, (B, H, W, C).
    strides: (s, t).
  """
  if strides == (1, 1):
    return phases[0, 0]
  (s, t), one = strides, next(iter(phases.values()))
  zeros = jnp.zeros_like(one)
  rows = [jnp.stack([phases.get((p, q), zeros) for q in range(t)], axis=3) for p in range(s)]
  found = jnp.stack(rows, axis=2).reshape(x_shape[0], one.shape[1] * s, -1, x_shape[3])
  return found[:, : x_shape[1], : x_shape[2]]


def by_slices(
  pool: Callable,
  x: jax.Array,
  window: tuple[int, ...],
  strides: tuple[int, ...],
  padding: Pairs,
) -> jax.Array:
  """Returns images [B, H, W, C] pooled, or volumes [B, Z, H, W, C]: each slice, then along Z."""
  if x.ndim == 4:
    return pool(x, window, strides, padding)
  batch, depth, *_, channels = x.shape
  x = pool(x.reshape(-1, *x.shape[2:]), window[1:], strides[1:], padding[1:])
  sides, x = x.shape[1:3], x.reshape(batch, depth, -1, channels)
  x = pool(x, (window[0], 1), (strides[0], 1), (padding[0], (0, 0)))
  return x.reshape(batch, -1, *sides, channels)
