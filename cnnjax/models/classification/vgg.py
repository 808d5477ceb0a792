"""VGG: only 3x3 convolutions, with or without batch norm.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition",
arXiv:1409.1556, table 1.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import (
  KAIMING,
  AdaptiveAvgPool,
  BatchNorm,
  Conv,
  Dense,
  Flatten,
  MaxPool,
  check_size,
  wide,
)
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

WIDTHS = (64, 128, 256, 512, 512)  # of the five stages, each ended by 2x2 max pooling
VGG11 = (1, 1, 2, 2, 2)  # column A: 3x3 convolutions a stage
VGG13 = (2, 2, 2, 2, 2)  # column B
VGG16 = (2, 2, 3, 3, 3)  # column D
VGG19 = (2, 2, 4, 4, 4)  # column E


class Trunk(nn.Module):
  """Images -> stage1 .. stage5 before their pooling (strides 1, 2, 4, 8, 16), pool1 .. pool5 after.

  Channels 64, 128, 256, 512, 512. `norm` adds batch norm after each convolution. `ceil` pools the
  last row and column of a map of odd sides too, as SSD does.
  """

  depths: tuple[int, ...]
  norm: bool = False
  dtype: Any = jnp.float32
  ceil: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("vgg", x, 32)
    maps = {}
    for stage, (depth, width) in enumerate(zip(self.depths, WIDTHS), 1):
      for i in range(1, depth + 1):
        options = dict(padding=1, dtype=self.dtype, kernel_init=KAIMING)
        x = Conv(width, 3, name=f"conv{stage}_{i}", **options)(x)
        if self.norm:
          norm = BatchNorm(dtype=self.dtype, name=f"norm{stage}_{i}")
          x = norm(x, train=train, activation=nn.relu)
        else:
          x = nn.relu(x)
      maps[f"stage{stage}"] = x
      x = maps[f"pool{stage}"] = MaxPool(2, ceil=self.ceil, name=f"pool{stage}")(x)
    return maps


class Head(nn.Module):
  """pool5 [B, h, w, 512] -> logits [B, num_classes]; sizes other than 7x7 are averaged to 7x7."""

  num_classes: int
  dropout: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = Flatten(name="flatten")(AdaptiveAvgPool(7, name="pool")(x))
    for name in ("fc6", "fc7"):
      x = nn.relu(Dense(4096, dtype=self.dtype, name=name)(x))
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return wide(Dense(self.num_classes, dtype=self.dtype, name="fc8")(x))


class VGG(nn.Module):
  """Images [B, H, W, C] of at least 32x32 -> {"logits": [B, num_classes]}; `ceil` as in `Trunk`."""

  depths: tuple[int, ...]
  norm: bool = False
  dropout: float = 0.5
  ceil: bool = False
  num_classes: int = 1000
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return Trunk(self.depths, self.norm, self.dtype, self.ceil, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    logits = Head(self.num_classes, self.dropout, self.dtype, name="head")(
      maps["pool5"], train=train
    )
    return {"logits": logits}
