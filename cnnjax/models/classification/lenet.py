"""LeNet-5 as courses teach it: ReLU, max pooling, a softmax classifier.

The table is course/000's, after LeCun et al., "Gradient-based learning applied to document
recognition", Proc. IEEE 86(11), 1998. `lenet_1998.py` is the paper's own network.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import Conv, Dense, Flatten, MaxPool, PyramidPool, check_size, wide
from cnnjax.ops.preprocess import Preprocessing

FEATURES = (6, "M", 16, "M", 120)  # 5x5 convolutions; "M": max pooling with stride 2


class Trunk(nn.Module):
  """Images [B, H, W, C] -> conv1 [B, 28, 28, 6], conv2 [.., 10, 10, 16], conv3 [.., 1, 1, 120]."""

  pool: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    del train
    check_size("lenet5", x, 32)
    maps = {}
    for row in FEATURES:
      if row == "M":
        x = MaxPool(self.pool, 2, name=f"pool{len(maps)}")(x)
      else:
        name = f"conv{len(maps) + 1}"
        x = maps[name] = nn.relu(Conv(row, 5, dtype=self.dtype, name=name)(x))
    return maps


class Head(nn.Module):
  """Feature map [B, h, w, 120] -> logits [B, num_classes]."""

  num_classes: int
  pyramid: Sequence[int] = ()
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    if self.pyramid:
      x = PyramidPool(self.pyramid, name="pyramid")(x)
    x = Flatten(name="flatten")(x)
    x = nn.relu(Dense(84, dtype=self.dtype, name="fc1")(x))
    return Dense(self.num_classes, dtype=self.dtype, name="fc2")(x)


class LeNet5(nn.Module):
  """Images [B, 32, 32, C] -> {"logits": [B, num_classes]}; larger images need a wider fc1.

  `pool` is the side of the max pooling windows; 1 only takes every second value. With a `pyramid`,
  such as (1, 2, 4), fc1 reads the pooled parts of `PyramidPool`, for images of any size.
  """

  num_classes: int = 10
  pool: int = 2
  pyramid: Sequence[int] = ()
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = Preprocessing(resize=(32, 32))

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return Trunk(self.pool, self.dtype, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    x = self.make_trunk()(x, train=train)["conv3"]
    logits = Head(self.num_classes, self.pyramid, self.dtype, name="head")(x)
    return {"logits": wide(logits)}
