"""The head that turns a feature map into logits."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers.conv import Dense
from cnnjax.layers.pool import GlobalAvgPool


def wide(x: jax.Array) -> jax.Array:
  """Returns logits in float32, or in a wider type as it is: bfloat16 is too coarse for a loss."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


class LinearHead(nn.Module):
  """Feature map [B, H, W, C] -> logits [B, num_classes]: its mean, dropout, one layer `fc`."""

  num_classes: int
  dropout: float = 0.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = GlobalAvgPool(name="pool")(x)
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return wide(Dense(self.num_classes, dtype=self.dtype, name="fc")(x))
