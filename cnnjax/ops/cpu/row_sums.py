"""Sums over an image's pixels of several arrays, in one loop that reads the pixels once.

XLA's own loop for such a sum is scalar, ten times slower than memory. Where a loop adds few rows,
LLVM unrolls it over them and vectorises along the channels; and one reduction of several arrays
stays one loop, fused with what computes them. The batch axis is not summed here, so that devices
that share a batch add no collective.
"""

import jax
import jax.numpy as jnp
from jax import lax

MAX_ROWS = 16  # added in one loop
MAX_TERMS = 72  # added in one loop over all its arrays: LLVM does not unroll more


def row_sums(*arrays: jax.Array) -> tuple[jax.Array, ...]:
  """Returns the sum over pixels, [B, C], of each array [B, N, C]."""
  batch, pixels, channels = arrays[0].shape
  most = max(min(MAX_ROWS, MAX_TERMS // len(arrays)), 1)
  count = max(n for n in range(1, most + 1) if pixels % n == 0)
  rows = [a.reshape(batch, count, pixels // count, channels) for a in arrays]
  zeros = [jnp.zeros((), a.dtype) for a in arrays]

  def add(left, right):
    return tuple(a + b for a, b in zip(left, right))

  sums = lax.optimization_barrier(lax.reduce(rows, zeros, add, (1,)))
  return tuple(s.sum(1) for s in sums)
