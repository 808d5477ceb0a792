"""Residual networks for ImageNet.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", arXiv:1512.03385, table 1.
`resnet50`, 101 and 152 have the stride in the bottleneck's 3x3 convolution, as torchvision's
weights do ("v1.5"); `resnet50_2015` has it in the first 1x1, as the paper. The deck lists ResNet-50
with basic blocks; the paper and its own table have bottlenecks.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.layers import (
  ConvNorm,
  LinearHead,
  MaxPool,
  SqueezeExcite,
  StochasticDepth,
  check_size,
  death_rates,
  divisible,
)
from cnnjax.ops.preprocess import IMAGENET, Preprocessing


class BasicBlock(nn.Module):
  """x [B, H, W, C] -> relu(x + two 3x3 convolutions of x), [B, H/s, W/s, width] (figure 5, left).

  Attributes:
    width: channels out.
    strides: s, of the first convolution and of the projection where shapes differ.
    dilations: of the 3x3 convolution that has the strides, and of the one after it.
    squeeze: reduction of a squeeze-and-excitation gate before the sum; 0 for none.
    drop: share of images for which training leaves the convolutions out (stochastic depth).
  """

  width: int
  strides: int = 1
  dilations: tuple[int, int] = (1, 1)
  squeeze: int = 0
  drop: float = 0.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    d, e = self.dilations
    options = dict(dtype=self.dtype)
    y = ConvNorm(self.width, 3, self.strides, d, d, name="conv1", **options)(x, train=train)
    return _join(self, x, y, partial(ConvNorm, self.width, 3, 1, e, e, name="conv2"), train)


class Bottleneck(nn.Module):
  """x [B, H, W, C] -> relu(x + 1x1, 3x3, 1x1 convolutions of x), [B, H/s, W/s, 4 width].

  Figure 5, right. Attributes as in `BasicBlock`; with `stride_first` the stride is in the first 1x1
  convolution, as in the paper, not in the 3x3.
  """

  width: int
  strides: int = 1
  dilations: tuple[int, int] = (1, 1)
  squeeze: int = 0
  drop: float = 0.0
  stride_first: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    first, second = (self.strides, 1) if self.stride_first else (1, self.strides)
    options = dict(dtype=self.dtype)
    y = ConvNorm(self.width, 1, first, name="conv1", **options)(x, train=train)
    d, _ = self.dilations
    y = ConvNorm(self.width, 3, second, d, d, name="conv2", **options)(y, train=train)
    return _join(self, x, y, partial(ConvNorm, 4 * self.width, 1, name="conv3"), train)


def _join(block, x, y, last, train):
  """Returns relu(shortcut(x) + gate(last(y))), the shortcut a projection where shapes differ."""
  plain = not block.squeeze and not (train and block.drop)
  last = last(activation=nn.relu if plain else None, dtype=block.dtype)
  if x.shape != (*y.shape[:-1], last.features):
    options = dict(activation=None, dtype=block.dtype, name="shortcut")
    x = ConvNorm(last.features, 1, block.strides, **options)(x, train=train)
  if plain:
    return last(y, train=train, residual=x)
  y = last(y, train=train)
  if block.squeeze:
    reduced = divisible(last.features / block.squeeze)
    y = SqueezeExcite(reduced, dtype=block.dtype, name="squeeze")(y)
  return nn.relu(x + StochasticDepth(block.drop)(y, train=train))


class Trunk(nn.Module):
  """Images -> stem (stride 2, 64 channels), stage1 .. stage4 (strides 4, 8, 16, 32).

  Channels of the stages: 64, 128, 256, 512 with basic blocks, four times that with bottlenecks.
  Strides end at `output_stride`: a stage that would halve its maps further doubles the dilation of
  all windows after instead (arXiv:1706.05587, section 3.1), so that the pixels of the smaller map
  are among those of the larger one.
  """

  depths: tuple[int, ...]
  block: Callable[..., nn.Module]
  stochastic_depth: float = 0.0
  rematerialise: bool = False
  dtype: Any = jnp.float32
  output_stride: int = 32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("resnet", x, 32)
    if self.output_stride not in (4, 8, 16, 32):
      raise UserError(f"a resnet's output_stride is 4, 8, 16 or 32, found {self.output_stride}")

    def apply(block, x):
      return block(x, train=train)

    apply = nn.remat(apply) if self.rematerialise else apply
    rates = iter(death_rates(sum(self.depths), self.stochastic_depth))
    x = ConvNorm(64, 7, 2, 3, dtype=self.dtype, name="stem")(x, train=train)
    maps = {"stem": x}
    x = MaxPool(3, 2, 1, name="pool")(x)
    dilation = 1
    for stage, depth in enumerate(self.depths, 1):
      before, dilation = dilation, max(2 ** (stage + 1) // self.output_stride, 1)
      halves = stage > 1 and 2 ** (stage + 1) <= self.output_stride
      for i in range(depth):
        strides, first = (1, dilation) if i else (1 + halves, before)
        options = dict(drop=next(rates), dtype=self.dtype, name=f"stage{stage}_{i}")
        x = apply(self.block(32 * 2**stage, strides, (first, dilation), **options), x)
      maps[f"stage{stage}"] = x
    return maps


class ResNet(nn.Module):
  """Images [B, H, W, C] of at least 32x32 -> {"logits": [B, num_classes]}.

  Attributes:
    depths: blocks a stage.
    block: `BasicBlock` or `Bottleneck`, or a partial of them.
    stochastic_depth: share of images for which training leaves the last block out; it grows in
      equal steps from the first block (arXiv:1603.09382).
    rematerialise: whether the backward pass recomputes a block's activations instead of keeping
      them: less memory, more time (arXiv:1604.06174).
    output_stride: of the last map, 8 or 16 for segmentation; see `Trunk`.
  """

  depths: tuple[int, ...]
  block: Callable[..., nn.Module]
  stochastic_depth: float = 0.0
  rematerialise: bool = False
  num_classes: int = 1000
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET
  output_stride: int = 32

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    options = dict(rematerialise=self.rematerialise, dtype=self.dtype, name="trunk")
    options |= dict(output_stride=self.output_stride)
    return Trunk(self.depths, self.block, self.stochastic_depth, **options)

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    head = LinearHead(self.num_classes, dtype=self.dtype, name="head")
    return {"logits": head(maps["stage4"], train=train)}
