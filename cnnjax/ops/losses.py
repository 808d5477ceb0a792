"""What the losses of two models or tasks or more are made of."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp


def smooth_l1(x: jax.Array, beta: float = 1.0) -> jax.Array:
  """Returns x^2 / (2 beta) where |x| < beta, else |x| - beta/2 (arXiv:1504.08083, equation 3).

  With beta 0 it is |x|.
  """
  size = jnp.abs(x)
  return jnp.where(size < beta, x * x / (2 * beta or 1), size - beta / 2)


def total(
  parts: Mapping[str, tuple[jax.Array, jax.Array]], counts: Mapping[str, jax.Array] | None = None
) -> jax.Array:
  """Returns the sum of a loss's parts, each of them a sum divided by its count.

  A part whose count is 0 is divided by 1.

  Args:
    parts: {name: (sum, count)}.
    counts: {name: what the part is divided by, in place of its own count}.
  """
  counts = {name: count for name, (_, count) in parts.items()} if counts is None else counts
  nonzero = {name: jnp.where(counts[name] > 0, counts[name], 1) for name in parts}
  return sum(value / nonzero[name] for name, (value, _) in parts.items())
