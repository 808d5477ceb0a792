"""Max pooling by shifted maxima; the way back knows which tap won, and scatters nothing."""

from functools import partial

import jax
import jax.numpy as jnp

from cnnjax.ops.cpu.windows import Pairs, pad, put_back, seen, taps


def max_pool(
  x: jax.Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Pairs
) -> jax.Array:
  """Returns the largest value of each window of x [B, H, W, C]; its slope goes to the first.

  Of volumes [B, Z, H, W, C] it is that of each slice, and then along the slices.
  """
  if x.ndim == 4:
    return _max_pool(x, window, strides, padding)
  batch, depth, *_, channels = x.shape
  x = _max_pool(x.reshape(-1, *x.shape[2:]), window[1:], strides[1:], padding[1:])
  sides, x = x.shape[1:3], x.reshape(batch, depth, -1, channels)
  x = _max_pool(x, (window[0], 1), (strides[0], 1), (padding[0], (0, 0)))
  return x.reshape(batch, -1, *sides, channels)


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
  return best, (winner, x)


def _backward(window, strides, padding, kept, slope):
  winner, x = kept
  parts = (
    (row, column, jnp.where(winner == number, slope, 0))
    for number, (_, _, row, column) in enumerate(taps(window))
  )
  return (put_back(parts, x.shape, strides, padding),)


_max_pool.defvjp(_forward, _backward)
