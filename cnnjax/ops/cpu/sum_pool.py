"""Sums over windows as shifted sums; on the way back each tap puts its slopes where it saw."""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.cpu.windows import Pairs, by_slices, homes, pad, put_back, seen, taps

MOST = 25  # taps of a window


def sum_pool(
  x: jax.Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Pairs
) -> jax.Array:
  """Returns the sum of each window of x [B, H, W, C], or of volumes [B, Z, H, W, C]."""
  return by_slices(_sum_pool, x, window, strides, padding)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _sum_pool(x, window, strides, padding):
  sizes = zip(x.shape[1:3], window, strides, padding)
  places = [(n + a + b - k) // s + 1 for n, k, s, (a, b) in sizes]
  padded = pad(x, padding)
  return reduce(jnp.add, (seen(padded, i, j, places, strides) for _, _, i, j in taps(window)))


def _forward(x, window, strides, padding):
  return _sum_pool(x, window, strides, padding), x


def _backward(window, strides, padding, x, slope):
  slope = lax.optimization_barrier(slope)  # else each tap computes it again
  found = homes(window, x.shape, slope.shape[1:3], strides, padding)
  parts = ((phase, pad(slope, around)) for phase, around in found)
  return (put_back(parts, x.shape, strides),)


_sum_pool.defvjp(_forward, _backward)
