"""Max pooling by shifted maxima; the way back knows which tap won, and scatters nothing.

Where a window sees a NaN, its value is NaN and its slope goes to the last tap.
"""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu.windows import Pairs, by_slices, homes, pad, put_back, seen, taps

MOST = 255  # taps of a window, each with its number in a byte


def max_pool(
  x: jax.Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Pairs
) -> jax.Array:
  """Returns the largest value of each window of x [B, H, W, C], or of volumes [B, Z, H, W, C].

  Its slope goes to the first.
  """
  return by_slices(_max_pool, x, window, strides, padding)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x, window, strides, padding):
  return _forward(x, window, strides, padding)[0]


def _forward(x, window, strides, padding):
  sizes = zip(x.shape[1:3], window, strides, padding)
  places = [(n + a + b - k) // s + 1 for n, k, s, (a, b) in sizes]
  padded = pad(x, padding, -jnp.inf)
  values = [seen(padded, row, column, places, strides) for _, _, row, column in taps(window)]
  best = lax.optimization_barrier(reduce(jnp.maximum, values))
  winner = jnp.full(best.shape, len(values) - 1, jnp.uint8)
  for number in reversed(range(len(values) - 1)):
    winner = jnp.where(values[number] == best, jnp.uint8(number), winner)
  return best, (lax.optimization_barrier(winner), x)


def _backward(window, strides, padding, kept, slope):
  winner, x = kept
  whole = [places * k for places, k in zip(slope.shape[1:3], window)] == list(x.shape[1:3])
  if window == strides and whole and not any(map(any, padding)):
    return (_tiled(window, winner, slope).reshape(x.shape),)
  found = list(homes(window, x.shape, slope.shape[1:3], strides, padding))
  most = [[max(0, *ends) for ends in zip(*pairs)] for pairs in zip(*(a for _, a in found))]
  winner, slope = lax.optimization_barrier((pad(winner, most), pad(slope, most)))  # once for all
  parts = []
  for number, (phase, around) in enumerate(found):
    cut = [[a - b for a, b in zip(*both)] for both in zip(around, most)]
    parts.append((phase, jnp.where(pad(winner, cut) == number, pad(slope, cut), 0)))
  return (put_back(parts, x.shape, strides),)


def _tiled(window, winner, slope):
  """Returns the slope where windows lie side by side, [B, H', k, W', l, C], in one loop."""
  (height, width), (batch, rows, columns, channels) = window, slope.shape
  shape = batch, rows, height, columns, width, channels
  number = jnp.arange(height * width, dtype=jnp.uint8).reshape(height, width)
  winner, slope = lax.optimization_barrier((winner, slope))
  winner, slope = (lax.broadcast_in_dim(a, shape, (0, 1, 3, 5)) for a in (winner, slope))
  return jnp.where(winner == lax.broadcast_in_dim(number, shape, (2, 4)), slope, 0)


_max_pool.defvjp(_forward, _backward)
