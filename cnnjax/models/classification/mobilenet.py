"""MobileNets: depthwise convolutions, each followed by a 1x1 convolution.

Howard et al., arXiv:1704.04861, table 1 (`mobilenet_v1`), with ReLU6 as in the authors' code and
weights; Sandler et al., arXiv:1801.04381, table 2 (`mobilenet_v2`). The width multiplier is a
field; the resolution multiplier is the size of the images: any from 32x32.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import ConvNorm, LinearHead, check_size, divisible
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

V1 = (  # width, number, stride of the first: depthwise-separable convolutions of a stage
  (64, 1, 1),
  (128, 2, 2),
  (256, 2, 2),
  (512, 6, 2),
  (1024, 2, 2),
)
V2 = (  # expansion, width, number, stride of each stage of bottlenecks (t, c, n, s)
  (1, 16, 1, 1),
  (6, 24, 2, 2),
  (6, 32, 3, 2),
  (6, 64, 4, 2),
  (6, 96, 3, 1),
  (6, 160, 3, 2),
  (6, 320, 1, 1),
)


class Separable(nn.Module):
  """[B, H, W, C] -> 3x3 depthwise, 1x1, [B, H/s, W/s, width]; each with batch norm and ReLU6."""

  width: int
  strides: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    c, options = x.shape[-1], dict(activation=nn.relu6, dtype=self.dtype)
    x = ConvNorm(c, 3, self.strides, 1, groups=c, name="depthwise", **options)(x, train=train)
    return ConvNorm(self.width, 1, name="pointwise", **options)(x, train=train)


class InvertedResidual(nn.Module):
  """[B, H, W, C] -> 1x1 to expansion C, 3x3 depthwise, 1x1 without ReLU, [B, H/s, W/s, width].

  With stride 1 and equal widths x is added. Expansion 1 leaves the first convolution out.
  """

  expansion: int
  width: int
  strides: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    c, y, options = self.expansion * x.shape[-1], x, dict(activation=nn.relu6, dtype=self.dtype)
    if self.expansion != 1:
      y = ConvNorm(c, 1, name="expand", **options)(y, train=train)
    y = ConvNorm(c, 3, self.strides, 1, groups=c, name="depthwise", **options)(y, train=train)
    options["activation"] = None
    residual = x if x.shape == (*y.shape[:-1], self.width) and self.strides == 1 else None
    last = ConvNorm(self.width, 1, name="project", **options)
    return last(y, train=train, residual=residual)


class TrunkV1(nn.Module):
  """Images -> stage1 .. stage5: the last maps of strides 2, 4, 8, 16, 32.

  Channels 64, 128, 256, 512, 1024 times the width multiplier.
  """

  width: float = 1.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("mobilenet_v1", x, 32)
    options, maps = dict(dtype=self.dtype), {}
    first = divisible(32 * self.width)
    x = ConvNorm(first, 3, 2, 1, activation=nn.relu6, name="stem", **options)(x, train=train)
    for stage, (width, number, strides) in enumerate(V1, 1):
      for i in range(number):
        arguments = divisible(width * self.width), strides if i == 0 else 1
        x = Separable(*arguments, name=f"stage{stage}_{i}", **options)(x, train=train)
      maps[f"stage{stage}"] = x
    return maps


class TrunkV2(nn.Module):
  """Images -> stage1 .. stage7 (strides 2, 4, 8, 16, 16, 32, 32) and top (32).

  Channels of the stages: table 2's times the width multiplier; of top 1280, or more where wider.
  """

  width: float = 1.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("mobilenet_v2", x, 32)
    options, maps = dict(dtype=self.dtype), {}
    first, last = divisible(32 * self.width), divisible(1280 * max(1.0, self.width))
    x = ConvNorm(first, 3, 2, 1, activation=nn.relu6, name="stem", **options)(x, train=train)
    for stage, (expansion, width, number, strides) in enumerate(V2, 1):
      for i in range(number):
        arguments = expansion, divisible(width * self.width), strides if i == 0 else 1
        x = InvertedResidual(*arguments, name=f"stage{stage}_{i}", **options)(x, train=train)
      maps[f"stage{stage}"] = x
    x = ConvNorm(last, 1, activation=nn.relu6, name="top", **options)(x, train=train)
    return {**maps, "top": x}


class MobileNetV1(nn.Module):
  """Images [B, H, W, C] of at least 32x32 -> {"logits": [B, num_classes]}."""

  width: float = 1.0
  dropout: float = 0.001
  num_classes: int = 1000
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return TrunkV1(self.width, self.dtype, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    head = LinearHead(self.num_classes, self.dropout, self.dtype, name="head")
    return {"logits": head(maps["stage5"], train=train)}


class MobileNetV2(nn.Module):
  """Images [B, H, W, C] of at least 32x32 -> {"logits": [B, num_classes]}."""

  width: float = 1.0
  dropout: float = 0.2
  num_classes: int = 1000
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return TrunkV2(self.width, self.dtype, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    head = LinearHead(self.num_classes, self.dropout, self.dtype, name="head")
    return {"logits": head(maps["top"], train=train)}
