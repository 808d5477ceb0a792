"""The fully convolutional network for time series (Wang, Yan and Oates, arXiv:1611.06455)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import BatchNorm, Conv, LinearHead
from cnnjax.ops.series import SeriesPreprocessing

BLOCKS = ((128, 8), (256, 5), (128, 3))  # section 2.2: channels and window of each


class Trunk(nn.Module):
  """Series [B, L, C] -> block1, block2, .. [B, L, channels]."""

  blocks: tuple[tuple[int, int], ...] = BLOCKS
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = {}
    for i, (channels, window) in enumerate(self.blocks, 1):
      x = Conv(channels, window, padding="SAME", dtype=self.dtype, name=f"conv{i}")(x)
      norm = BatchNorm(dtype=self.dtype, name=f"norm{i}")
      x = maps[f"block{i}"] = norm(x, train=train, activation=nn.relu)
    return maps


class SeriesCNN(nn.Module):
  """Series [B, L, C] of any length -> {"logits": [B, num_classes]}."""

  blocks: tuple[tuple[int, int], ...] = BLOCKS
  num_classes: int = 10
  dtype: Any = jnp.float32
  preprocessing: SeriesPreprocessing = SeriesPreprocessing()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = Trunk(self.blocks, self.dtype, name="trunk")(x, train=train)
    head = LinearHead(self.num_classes, dtype=self.dtype, name="head")
    return {"logits": head(maps[f"block{len(self.blocks)}"], train=train)}
