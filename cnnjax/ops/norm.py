"""Normalisation without parameters."""

import jax
from jax import lax


def local_response_norm(
  x: jax.Array, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> jax.Array:
  """Returns x [..., C] over (k + alpha * sum of squares of `size` neighbouring channels) ** beta.

  Krizhevsky et al. 2012, section 3.3, with its constants; alpha is not divided by `size`.
  """
  window = (1,) * (x.ndim - 1) + (size,)
  around = [(0, 0)] * (x.ndim - 1) + [(size // 2, (size - 1) // 2)]
  squares = lax.reduce_window(x * x, 0.0, lax.add, window, (1,) * x.ndim, around)
  return x * (k + alpha * squares) ** -beta
