"""Maps of other sizes, interpolated linearly, and cut or filled up."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax


def resize(x: jax.Array, size: Sequence[int]) -> jax.Array:
  """Returns x [B, *space, C] interpolated linearly to [B, *size, C].

  Pixels are areas whose corners coincide, the outermost values are repeated beyond their centres,
  and nothing is smoothed: PyTorch's `interpolate` with align_corners=False.
  """
  shape = (x.shape[0], *size, x.shape[-1])
  return jax.image.resize(x, shape, "linear", antialias=False)


def fit(x: jax.Array, size: Sequence[int]) -> jax.Array:
  """Returns x [B, *space, C] as [B, *size, C]: cut after the first pixels, or the last repeated."""
  rest = [(0, max(n - m, 0)) for n, m in zip(size, x.shape[1:-1])]
  x = jnp.pad(x, [(0, 0), *rest, (0, 0)], mode="edge") if any(map(any, rest)) else x
  return lax.slice(x, (0,) * x.ndim, (x.shape[0], *size, x.shape[-1]))


def centre(x: jax.Array, size: Sequence[int]) -> jax.Array:
  """Returns the middle [B, *size, C] of x [B, *space, C]."""
  first = [0, *((m - n) // 2 for n, m in zip(size, x.shape[1:-1])), 0]
  return lax.slice(x, first, [a + b for a, b in zip(first, (len(x), *size, x.shape[-1]))])
