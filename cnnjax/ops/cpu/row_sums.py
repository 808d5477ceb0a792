"""Sums over an image's pixels: some of its rows are added in one loop over channels, then the rest.

XLA's own loop for such a sum is scalar, ten times slower than memory. The batch axis stays whole:
where it is cut over devices, each sums what it holds.
"""

from collections.abc import Callable
from functools import reduce

import jax
import jax.numpy as jnp
from jax import lax

AT_ONCE = 16  # rows added in one loop, at most


def row_sums(
  terms: Callable[..., tuple[jax.Array, ...]], *arrays: jax.Array
) -> tuple[jax.Array, ...]:
  """Returns the sums over pixels, [B, C] each, of what `terms` makes of arrays [B, N, C].

  Args:
    terms: rows [B, n, C] of each array -> tuple of arrays of that shape.
    arrays: of one shape.
  """
  batch, pixels, channels = arrays[0].shape
  count = max(n for n in range(1, AT_ONCE + 1) if pixels % n == 0)
  cut = [a.reshape(batch, count, pixels // count, channels) for a in arrays]
  parts = [terms(*(a[:, i] for a in cut)) for i in range(count)]
  sums = lax.optimization_barrier(tuple(reduce(jnp.add, term) for term in zip(*parts)))
  return tuple(s.sum(1) for s in sums)
