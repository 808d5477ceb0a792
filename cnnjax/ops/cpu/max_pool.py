"""Max pooling by shifted maxima; the way back knows which tap won, and scatters nothing."""

from functools import partial

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
  best = winner = None
  for number, (_, _, row, column) in enumerate(taps(window)):
    value = seen(padded, row, column, places, strides)
    if best is None:
      best, winner = value, jnp.zeros(value.shape, jnp.uint8)
    else:
      wins = (value > best) | (jnp.isnan(value) & ~jnp.isnan(best))
      best, winner = jnp.where(wins, value, best), jnp.where(wins, jnp.uint8(number), winner)
  return best, (lax.optimization_barrier(winner), x)


def _backward(window, strides, padding, kept, slope):
  winner, x = kept
  found = list(homes(window, x.shape, slope.shape[1:3], strides, padding))
  most = [[max(0, *ends) for ends in zip(*pairs)] for pairs in zip(*(a for _, a in found))]
  winner, slope = lax.optimization_barrier((pad(winner, most), pad(slope, most)))  # once for all
  parts = []
  for number, (phase, around) in enumerate(found):
    cut = [[a - b for a, b in zip(*both)] for both in zip(around, most)]
    parts.append((phase, jnp.where(pad(winner, cut) == number, pad(slope, cut), 0)))
  return (put_back(parts, x.shape, strides),)


_max_pool.defvjp(_forward, _backward)
