"""What the taps of a window see at all its places, and the way back."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Pairs = tuple[tuple[int, int], ...]


def taps(window: tuple[int, ...], dilation: tuple[int, ...] = (1, 1)) -> Iterator[tuple[int, ...]]:
  """Yields (i, j, row, column) of each tap: its place in the window, and in the padded image."""
  for i, j in product(range(window[0]), range(window[1])):
    yield i, j, i * dilation[0], j * dilation[1]


def pad(x: jax.Array, padding: Pairs, value: Any = 0) -> jax.Array:
  """Returns x [B, H, W, C] with a value around it; a negative number of rows is cut off."""
  around = [(0, 0, 0), *((a, b, 0) for a, b in padding), (0, 0, 0)]
  return lax.pad(x, jnp.asarray(value, x.dtype), around)


def seen(
  padded: jax.Array, row: int, column: int, places: tuple[int, int], strides: tuple[int, int]
) -> jax.Array:
  """Returns what a tap sees at all places of the window, [B, H', W', C]."""
  (h, w), (s, t) = places, strides
  return padded[:, row : row + (h - 1) * s + 1 : s, column : column + (w - 1) * t + 1 : t]


def homes(
  window: tuple[int, ...],
  x_shape: tuple[int, ...],
  places: Sequence[int],
  strides: tuple[int, int],
  padding: Pairs,
  dilation: tuple[int, int] = (1, 1),
) -> Iterator[tuple[tuple[int, int], Pairs]]:
  """Yields for each tap the phase of the pixels it saw, and what lies around its part among them.

  A phase is those with the same row and column modulo the strides; what is seen at the places, one
  number each, then lies over it once it is padded by the pairs, or cut where they are negative.
  """
  (s, t), ((top, _), (left, _)) = strides, padding
  height, width = -(-x_shape[1] // s), -(-x_shape[2] // t)
  for _, _, row, column in taps(window, dilation):
    p, q = (row - top) % s, (column - left) % t
    down, right = (p + top - row) // s, (q + left - column) // t  # pixel s h + p: place h + down
    around = (-down, height + down - places[0]), (-right, width + right - places[1])
    yield (p, q), around


def put_back(
  parts: Iterable[tuple[tuple[int, int], jax.Array]],
  x_shape: tuple[int, ...],
  strides: tuple[int, int],
) -> jax.Array:
  """Returns [B, H, W, C] to whose phases the parts are added, each a (phase, array over it)."""
  phases = {}
  for phase, part in parts:
    phases[phase] = phases[phase] + part if phase in phases else part
  return interleave(phases, x_shape, strides)


def interleave(
  phases: dict[tuple[int, int], jax.Array], x_shape: tuple[int, ...], strides: tuple[int, int]
) -> jax.Array:
  """Returns [B, H, W, C] whose pixels (s h + p, t w + q) are those of phase (p, q), 0 without one.

  Args:
    phases: each [B, ceil(H / s), ceil(W / t), C].
    x_shape: of the result.
    strides: (s, t).
  """
  if strides == (1, 1):
    return phases[0, 0]
  (s, t), one = strides, next(iter(phases.values()))
  nothing = jnp.zeros_like(one)
  rows = [jnp.stack([phases.get((p, q), nothing) for q in range(t)], axis=3) for p in range(s)]
  found = jnp.stack(rows, axis=2).reshape(x_shape[0], one.shape[1] * s, -1, x_shape[3])
  return found[:, : x_shape[1], : x_shape[2]]


def by_slices(
  pool: Callable,
  x: jax.Array,
  window: tuple[int, ...],
  strides: tuple[int, ...],
  padding: Pairs,
) -> jax.Array:
  """Returns what `pool` makes of images [B, H, W, C], and of volumes slice by slice, then along."""
  if x.ndim == 4:
    return pool(x, window, strides, padding)
  batch, depth, *_, channels = x.shape
  x = pool(x.reshape(-1, *x.shape[2:]), window[1:], strides[1:], padding[1:])
  sides, x = x.shape[1:3], x.reshape(batch, depth, -1, channels)
  x = pool(x, (window[0], 1), (strides[0], 1), (padding[0], (0, 0)))
  return x.reshape(batch, -1, *sides, channels)
