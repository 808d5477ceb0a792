"""DenseNet: each layer reads the maps of all layers before it in its block.

Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks",
arXiv:1608.06993, table 1 (DenseNet-BC). Each layer normalises a copy of all maps before it, and
keeping these for the backward pass takes memory that grows with the square of the depth;
`rematerialise` recomputes them instead (arXiv:1707.06990). On the CPU a barrier after each
concatenation makes XLA sum the gradients of a block's layers one by one: else it holds them all and
sums at the end. On an H100 it takes memory (docs/lab-book.md).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import (
  KAIMING,
  AvgPool,
  BatchNorm,
  Conv,
  ConvNorm,
  LinearHead,
  MaxPool,
  check_size,
)
from cnnjax.ops.cpu.barrier import barrier
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

DENSENET121 = (6, 12, 24, 16)  # layers a block
DENSENET161 = (6, 12, 36, 24)
DENSENET169 = (6, 12, 32, 32)
DENSENET201 = (6, 12, 48, 32)


class NormConv(nn.Module):
  """Batch norm, ReLU, convolution without bias: the order of this paper."""

  features: int
  kernel_size: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    x = BatchNorm(dtype=self.dtype, name="norm")(x, train=train, activation=nn.relu)
    options = dict(padding=self.kernel_size // 2, use_bias=False, kernel_init=KAIMING)
    return Conv(self.features, self.kernel_size, dtype=self.dtype, name="conv", **options)(x)


class Trunk(nn.Module):
  """Images -> stem (stride 2), stage1 .. stage4, the dense blocks' maps (strides 4, 8, 16, 32).

  A block adds growth_rate channels a layer, a transition halves them: DenseNet-121's stages have
  256, 512, 1024 and 1024 channels. stage4 is after the last batch norm and its ReLU.
  """

  depths: tuple[int, ...]
  growth_rate: int = 32
  rematerialise: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("densenet", x, 32)
    growth, options = self.growth_rate, dict(dtype=self.dtype)
    layer = nn.remat(NormConv, static_argnums=(2,)) if self.rematerialise else NormConv
    x = ConvNorm(2 * growth, 7, 2, 3, name="stem", **options)(x, train=train)
    maps = {"stem": x}
    x = MaxPool(3, 2, 1, name="pool")(x)
    for stage, depth in enumerate(self.depths, 1):
      for i in range(1, depth + 1):
        y = layer(4 * growth, 1, name=f"stage{stage}_{i}_reduce", **options)(x, train)
        y = layer(growth, 3, name=f"stage{stage}_{i}", **options)(y, train)
        x = barrier(jnp.concatenate([x, y], axis=-1))
      if stage < len(self.depths):
        maps[f"stage{stage}"] = x
        half = x.shape[-1] // 2
        x = layer(half, 1, name=f"transition{stage}", **options)(x, train)
        x = AvgPool(2, name=f"pool{stage}")(x)
    x = BatchNorm(name="norm", **options)(x, train=train, activation=nn.relu)
    return {**maps, f"stage{len(self.depths)}": x}


class DenseNet(nn.Module):
  """Images [B, H, W, C] of at least 32x32 -> {"logits": [B, num_classes]}."""

  depths: tuple[int, ...]
  growth_rate: int = 32
  rematerialise: bool = False
  num_classes: int = 1000
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    arguments = self.depths, self.growth_rate, self.rematerialise, self.dtype
    return Trunk(*arguments, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    head = LinearHead(self.num_classes, dtype=self.dtype, name="head")
    return {"logits": head(maps[f"stage{len(self.depths)}"], train=train)}
