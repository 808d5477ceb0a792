"""Several sums over an image's pixels in one loop that reads the pixels once.

XLA's own loop for such a sum is scalar, ten times slower than memory. One that adds few rows is
unrolled over them and runs along the channels by vectors, and one reduction of several arrays stays
one loop, with what makes the arrays in it. The batch axis stays whole: where it is cut over
devices, each sums what it holds.
"""

import jax
import jax.numpy as jnp
from jax import lax

AT_ONCE = 16  # rows added in one loop, at most
TERMS = 72  # of all arrays in one loop, at most: LLVM does not unroll more


def row_sums(*arrays: jax.Array) -> tuple[jax.Array, ...]:
  """Returns the sum over pixels, [B, C], of each array [B, N, C]."""
  batch, pixels, channels = arrays[0].shape
  most = max(min(AT_ONCE, TERMS // len(arrays)), 1)
  count = max(n for n in range(1, most + 1) if pixels % n == 0)
  rows = [a.reshape(batch, count, pixels // count, channels) for a in arrays]
  zeros = [jnp.zeros((), a.dtype) for a in arrays]

  def add(left, right):
    return tuple(a + b for a, b in zip(left, right))

  sums = lax.optimization_barrier(lax.reduce(rows, zeros, add, (1,)))
  return tuple(s.sum(1) for s in sums)
