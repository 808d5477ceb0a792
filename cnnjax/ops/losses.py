"""Elementwise losses that two models or more use."""

import jax
import jax.numpy as jnp


def smooth_l1(x: jax.Array, beta: float = 1.0) -> jax.Array:
  """Returns x^2 / (2 beta) where |x| < beta, else |x| - beta/2 (arXiv:1504.08083, equation 3).

  With beta 0 it is |x|.
  """
  size = jnp.abs(x)
  return jnp.where(size < beta, x * x / (2 * beta or 1), size - beta / 2)
