"""Sums over windows as shifted sums; backward, each tap adds the gradient to the pixels it read."""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu.windows import Pairs, add_phases, by_slices, pad, tap_phases, tap_values, taps

MAX_TAPS = 25  # of a window, each a term of one loop


def sum_pool(
  x: jax.Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Pairs
) -> jax.Array:
  """Returns the sum of each window of x [B, H, W, C], or of volumes [B, Z, H, W, C]."""
  return by_slices(_sum_pool, x, window, strides, padding)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _sum_pool(x, window, strides, padding):
  sizes = zip(x.shape[1:3], window, strides, padding)
  counts = [(n + a + b - k) // s + 1 for n, k, s, (a, b) in sizes]
  padded = pad(x, padding)
  return reduce(jnp.add, (tap_values(padded, i, j, counts, strides) for _, _, i, j in taps(window)))


def _forward(x, window, strides, padding):
  return _sum_pool(x, window, strides, padding), x


def _backward(window, strides, padding, x, gradient):
  gradient = lax.optimization_barrier(gradient)  # else XLA computes it again for each tap
  found = tap_phases(window, x.shape, gradient.shape[1:3], strides, padding)
  parts = ((phase, pad(gradient, around)) for phase, around in found)
  return (add_phases(parts, x.shape, strides),)


_sum_pool.defvjp(_forward, _backward)
