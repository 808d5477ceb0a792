"""A figure of a network's weights: the part that are exactly zero."""

from typing import Any

import jax
import jax.numpy as jnp


@jax.jit
def zeros(params: Any) -> jax.Array:
  """Returns the part of the weights that are exactly zero; biases and scales do not count."""
  kernels = [w for w in jax.tree.leaves(params) if w.ndim >= 2]
  total = sum(w.size for w in kernels)
  none = sum(jnp.mean(w == 0) * (w.size / total) for w in kernels)
  return jnp.asarray(none, jnp.float32)
