"""AlexNet: the paper's network of two towers, and the one that torchvision has weights for.

Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks",
NIPS 2012 (`alexnet_2012`; course/004's table is its widths), and Krizhevsky, "One weird trick for
parallelizing convolutional neural networks", arXiv:1404.5997 (`alexnet`; course/004's listing).
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import (
  AdaptiveAvgPool,
  Conv,
  Dense,
  Flatten,
  LocalResponseNorm,
  MaxPool,
  check_size,
  wide,
)
from cnnjax.ops.preprocess import IMAGENET, Preprocessing


class Layer(NamedTuple):
  """A convolution, its number of towers (groups), and whether norm and pooling follow its ReLU."""

  features: int
  window: int
  stride: int
  padding: int
  towers: int
  norm: bool
  pool: bool


ALEXNET = (  # arXiv:1404.5997, section 5: one tower, no normalisation
  Layer(64, 11, 4, 2, 1, False, True),
  Layer(192, 5, 1, 2, 1, False, True),
  Layer(384, 3, 1, 1, 1, False, False),
  Layer(256, 3, 1, 1, 1, False, False),
  Layer(256, 3, 1, 1, 1, False, True),
)
ALEXNET_2012 = (  # NIPS 2012, section 3.5; its sizes need an input of 227
  Layer(96, 11, 4, 0, 1, True, True),
  Layer(256, 5, 1, 2, 2, True, True),
  Layer(384, 3, 1, 1, 1, False, False),
  Layer(384, 3, 1, 1, 2, False, False),
  Layer(256, 3, 1, 1, 2, False, True),
)


class Trunk(nn.Module):
  """Images -> conv1 (stride 4), conv2 (8), conv3 to conv5 (16), pool5 (32), each after its ReLU.

  Channels as in the table; without `towers` the paper's two are one, as in the deck's table.
  """

  table: tuple[Layer, ...]
  towers: bool = True
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    del train
    check_size("alexnet", x, 63 if self.table[0].padding else 67)
    maps = {}
    for number, row in enumerate(self.table, 1):
      x = Conv(
        row.features,
        row.window,
        strides=row.stride,
        padding=row.padding,
        groups=row.towers if self.towers else 1,
        dtype=self.dtype,
        kernel_init=nn.initializers.he_normal(),  # the paper's 0.01 needs its long training
        name=f"conv{number}",
      )(x)
      x = maps[f"conv{number}"] = nn.relu(x)
      if row.norm:
        x = LocalResponseNorm(name=f"norm{number}")(x)
      if row.pool:
        x = MaxPool(3, 2, name=f"pool{number}")(x)
    return {**maps, "pool5": x}


class Head(nn.Module):
  """pool5 [B, h, w, 256] -> logits [B, num_classes]; sizes other than 6x6 are averaged to 6x6."""

  num_classes: int
  dropout: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = Flatten(name="flatten")(AdaptiveAvgPool(6, name="pool")(x))
    for name in ("fc6", "fc7"):
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
      x = nn.relu(Dense(4096, dtype=self.dtype, name=name)(x))
    return wide(Dense(self.num_classes, dtype=self.dtype, name="fc8")(x))


class AlexNet(nn.Module):
  """Images [B, H, W, C] of at least 67x67 -> {"logits": [B, num_classes]}."""

  table: tuple[Layer, ...] = ALEXNET
  towers: bool = True
  dropout: float = 0.5
  num_classes: int = 1000
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return Trunk(self.table, self.towers, self.dtype, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    logits = Head(self.num_classes, self.dropout, self.dtype, name="head")(
      maps["pool5"], train=train
    )
    return {"logits": logits}
