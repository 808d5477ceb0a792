"""C3D: eight convolutions over 3x3x3 cells.

Tran et al., "Learning spatiotemporal features with 3D convolutional networks", arXiv:1412.0767,
figure 3. The authors' code is in Caffe, whose pooling takes the last rows and columns of odd sides
too, so that pool5 of the paper's clips, 16x112x112, is 1x4x4.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import (
  AdaptiveAvgPool,
  Conv,
  Dense,
  Flatten,
  MaxPool,
  check_size,
  wide,
)
from cnnjax.ops.clip import ClipPreprocessing
from cnnjax.ops.preprocess import Preprocessing

C3D_TABLE = (  # figure 3: channels of convolutions, and windows of pools, which are their strides
  ("conv1a", 64),
  ("pool1", (1, 2, 2)),
  ("conv2a", 128),
  ("pool2", (2, 2, 2)),
  ("conv3a", 256),
  ("conv3b", 256),
  ("pool3", (2, 2, 2)),
  ("conv4a", 512),
  ("conv4b", 512),
  ("pool4", (2, 2, 2)),
  ("conv5a", 512),
  ("conv5b", 512),
  ("pool5", (2, 2, 2)),
)


class Trunk(nn.Module):
  """Clips -> the map of each convolution after its ReLU, and pool5, [B, T/16, H/32, W/32, 512]."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    del train
    check_size("c3d", x, (1, 1, 1))
    maps = {}
    for name, row in C3D_TABLE:
      if name.startswith("pool"):
        x = MaxPool(row, ceil=True, name=name)(x)
      else:
        options = dict(padding=1, kernel_init=nn.initializers.he_normal(), dtype=self.dtype)
        x = maps[name] = nn.relu(Conv(row, 3, name=name, **options)(x))
    return {**maps, "pool5": x}


class Head(nn.Module):
  """pool5 [B, t, h, w, 512] -> logits [B, num_classes]; other sizes are averaged to 1x4x4."""

  num_classes: int
  dropout: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = Flatten(name="flatten")(AdaptiveAvgPool((1, 4, 4), name="pool")(x))
    for name in ("fc6", "fc7"):
      x = nn.relu(Dense(4096, dtype=self.dtype, name=name)(x))
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return wide(Dense(self.num_classes, dtype=self.dtype, name="fc8")(x))


class C3D(nn.Module):
  """Clips [B, T, H, W, C] -> {"logits": [B, num_classes]}; the paper's classes are Sports-1M's."""

  dropout: float = 0.5
  num_classes: int = 487
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = ClipPreprocessing(frames=16, resize=(128, 171), crop=(112, 112))

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return Trunk(self.dtype, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    head = Head(self.num_classes, self.dropout, self.dtype, name="head")
    return {"logits": head(maps["pool5"], train=train)}
