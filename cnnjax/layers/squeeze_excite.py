"""Squeeze and excitation: each channel times a gate that is computed from all channels."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers.conv import Dense


class SqueezeExcite(nn.Module):
  """x [B, *space, C] -> x * sigmoid(fc2(relu(fc1(mean of x)))) (arXiv:1709.01507).

  Attributes:
    features: channels between the two layers, C / 16 in the paper.
    use_bias: true in the authors' and in all published weights, false in the deck's listing.
  """

  features: int
  use_bias: bool = True
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    options = dict(use_bias=self.use_bias, dtype=self.dtype)
    space = tuple(range(1, x.ndim - 1))
    gate = nn.relu(Dense(self.features, name="fc1", **options)(x.mean(space)))
    gate = nn.sigmoid(Dense(x.shape[-1], name="fc2", **options)(gate))
    return x * jnp.expand_dims(gate, space)
