"""Max pooling by shifted maxima; the backward pass knows which tap won, and scatters nothing.

A window that holds a NaN has the value NaN, and its gradient goes to its last tap.
"""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu.windows import Pairs, add_phases, by_slices, pad, tap_phases, tap_values, taps

MAX_TAPS = 255  # of a window, for the number of a tap is stored in a byte


def max_pool(
  x: jax.Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Pairs
) -> jax.Array:
  """Returns the largest value of each window of x [B, H, W, C], or of volumes [B, Z, H, W, C].

  The gradient goes to the first of equal maxima.
  """
  return by_slices(_max_pool, x, window, strides, padding)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x, window, strides, padding):
  return _forward(x, window, strides, padding)[0]


def _forward(x, window, strides, padding):
  sizes = zip(x.shape[1:3], window, strides, padding)
  counts = [(n + a + b - k) // s + 1 for n, k, s, (a, b) in sizes]
  padded = pad(x, padding, -jnp.inf)
  values = [tap_values(padded, row, column, counts, strides) for _, _, row, column in taps(window)]
  best = lax.optimization_barrier(reduce(jnp.maximum, values))
  # The taps are compared with each other, not with `best`: XLA may compute what it pools again for
  # this loop and round it otherwise (seen without LLVM's optimiser), so that none equals `best`.
  winner, largest = jnp.zeros(best.shape, jnp.uint8), values[0]
  for number, value in enumerate(values[1:], 1):
    winner = jnp.where(value <= largest, winner, jnp.uint8(number))
    largest = jnp.maximum(largest, value)
  return best, (lax.optimization_barrier(winner), x)


def _backward(window, strides, padding, kept, gradient):
  winner, x = kept
  tiles = [count * k for count, k in zip(gradient.shape[1:3], window)] == list(x.shape[1:3])
  if window == strides and tiles and not any(map(any, padding)):
    return (_tiled(window, winner, gradient).reshape(x.shape),)
  found = list(tap_phases(window, x.shape, gradient.shape[1:3], strides, padding))
  most = [[max(0, *ends) for ends in zip(*pairs)] for pairs in zip(*(a for _, a in found))]
  # Padded once as far as any tap needs; each tap then cuts its part out.
  winner, gradient = lax.optimization_barrier((pad(winner, most), pad(gradient, most)))
  parts = []
  for number, (phase, around) in enumerate(found):
    cut = [[a - b for a, b in zip(*both)] for both in zip(around, most)]
    parts.append((phase, jnp.where(pad(winner, cut) == number, pad(gradient, cut), 0)))
  return (add_phases(parts, x.shape, strides),)


def _tiled(window, winner, gradient):
  """Returns the input gradient [B, H', k, W', l, C] of windows that tile x, in one loop."""
  (height, width), (batch, rows, columns, channels) = window, gradient.shape
  shape = batch, rows, height, columns, width, channels
  number = jnp.arange(height * width, dtype=jnp.uint8).reshape(height, width)
  winner, gradient = lax.optimization_barrier((winner, gradient))
  winner, gradient = (lax.broadcast_in_dim(a, shape, (0, 1, 3, 5)) for a in (winner, gradient))
  return jnp.where(winner == lax.broadcast_in_dim(number, shape, (2, 4)), gradient, 0)


_max_pool.defvjp(_forward, _backward)
