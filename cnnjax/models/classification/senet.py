"""Squeeze-and-excitation networks.

Hu, Shen, Sun, "Squeeze-and-excitation networks", arXiv:1709.01507. SE-ResNets are residual networks
whose blocks are gated before the sum (`seresnet*` in the zoo: `resnet.py` with `squeeze` 16).
`legacy_senet154` is the authors' largest (section 6.4 and appendix): grouped 3x3 convolutions of
doubled width, three 3x3 convolutions for the 7x7, 3x3 projections, and dropout.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import ConvNorm, LinearHead, MaxPool, SqueezeExcite, check_size
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

SENET154 = (3, 8, 36, 3)  # blocks a stage


class Block(nn.Module):
  """[B, H, W, C] -> relu(x + gated 1x1, grouped 3x3, 1x1 convolutions of x), [.., 4 width]."""

  width: int
  strides: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    out, options = 4 * self.width, dict(dtype=self.dtype)
    y = ConvNorm(2 * self.width, 1, name="conv1", **options)(x, train=train)
    y = ConvNorm(out, 3, self.strides, 1, groups=64, name="conv2", **options)(y, train=train)
    y = ConvNorm(out, 1, activation=None, name="conv3", **options)(y, train=train)
    y = SqueezeExcite(out // 16, name="squeeze", **options)(y)
    if x.shape != y.shape:
      window = 1 if self.strides == 1 else 3  # 3x3 where it strides
      options |= dict(activation=None, name="shortcut")
      x = ConvNorm(out, window, self.strides, window // 2, **options)(x, train=train)
    return nn.relu(x + y)


class Trunk(nn.Module):
  """Images -> stem (stride 2, 128 channels), stage1 .. stage4 (4, 8, 16, 32; 256 to 2048)."""

  depths: tuple[int, ...]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("senet", x, 32)
    for i, (width, strides) in enumerate(((64, 2), (64, 1), (128, 1))):
      x = ConvNorm(width, 3, strides, 1, dtype=self.dtype, name=f"stem{i + 1}")(x, train=train)
    maps = {"stem": x}
    x = MaxPool(3, 2, ceil=True, name="pool")(x)
    for stage, depth in enumerate(self.depths, 1):
      for i in range(depth):
        strides = 2 if stage > 1 and i == 0 else 1
        block = Block(32 * 2**stage, strides, self.dtype, name=f"stage{stage}_{i}")
        x = block(x, train=train)
      maps[f"stage{stage}"] = x
    return maps


class SENet(nn.Module):
  """Images [B, H, W, C] of at least 32x32 -> {"logits": [B, num_classes]}."""

  depths: tuple[int, ...] = SENET154
  dropout: float = 0.2
  num_classes: int = 1000
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return Trunk(self.depths, self.dtype, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    head = LinearHead(self.num_classes, self.dropout, self.dtype, name="head")
    return {"logits": head(maps["stage4"], train=train)}
