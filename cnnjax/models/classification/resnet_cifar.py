"""Residual, plain and highway networks for 32x32 images.

He et al., arXiv:1512.03385, section 4.2: three stages of n blocks at 32, 16 and 8 pixels with 16,
32 and 64 channels, 6n + 2 layers, shortcuts without parameters (option A); with resnet.py's
`BasicBlock` they are projections where shapes differ (option B). `plain` leaves the shortcuts out.
`highway` weighs block y and shortcut x by a learnt gate T, T y + (1 - T) x
(Srivastava, Greff, Schmidhuber, arXiv:1505.00387); a residual network has both weights fixed at 1.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.layers import (
  Conv,
  ConvNorm,
  LinearHead,
  SqueezeExcite,
  StochasticDepth,
  check_size,
  death_rates,
)
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

AT_32 = replace(IMAGENET, resize=(32, 32), crop=None)  # of the published weights with option A


def option_a(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Returns x [B, H, W, C] as [B, H/s, W/s, C']: every s-th pixel, zeros for new channels."""
  strides = x.shape[1] // shape[1] if shape[1] else 1
  x = x[:, ::strides, ::strides][:, : shape[1], : shape[2]]
  more = shape[-1] - x.shape[-1]
  return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (more // 2, more - more // 2)))


class Residual(nn.Module):
  """[B, H, W, C] -> relu(option_a(x) + two convolutions of x), [B, H/s, W/s, width].

  `squeeze` is the reduction of a squeeze-and-excitation gate before the sum, 0 for none; `drop` the
  share of images for which training leaves the convolutions out (stochastic depth).
  """

  width: int
  strides: int = 1
  squeeze: int = 0
  drop: float = 0.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    if not self.squeeze and not (train and self.drop):
      return _two(x, self, train, shortcut=True, activation=nn.relu)
    y = _two(x, self, train)
    if self.squeeze:
      y = SqueezeExcite(self.width // self.squeeze, dtype=self.dtype, name="squeeze")(y)
    return nn.relu(option_a(x, y.shape) + StochasticDepth(self.drop)(y, train=train))


class Plain(nn.Module):
  """[B, H, W, C] -> two convolutions of x, [B, H/s, W/s, width]."""

  width: int
  strides: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    return _two(x, self, train, activation=nn.relu)


class Highway(nn.Module):
  """[B, H, W, C] -> relu(T y + (1 - T) option_a(x)), y two convolutions and T a gate of x.

  `bias` initialises the gate's bias: T begins near sigmoid(bias).
  """

  width: int
  strides: int = 1
  bias: float = -1.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    y = _two(x, self, train)
    begin = nn.initializers.constant(self.bias)
    options = dict(padding=1, dtype=self.dtype, bias_init=begin, name="gate")
    gate = nn.sigmoid(Conv(self.width, 3, strides=self.strides, **options)(x))
    return nn.relu(gate * y + (1 - gate) * option_a(x, y.shape))


def _two(x, block, train, shortcut=False, activation=None):
  options = dict(dtype=block.dtype)
  y = ConvNorm(block.width, 3, block.strides, 1, name="conv1", **options)(x, train=train)
  options |= dict(activation=activation, name="conv2")
  residual = option_a(x, y.shape) if shortcut else None
  return ConvNorm(block.width, 3, 1, 1, **options)(y, train=train, residual=residual)


class Trunk(nn.Module):
  """Images -> stem (stride 1, 16 channels), stage1 (1, 16), stage2 (2, 32), stage3 (4, 64)."""

  n: int
  block: Callable[..., nn.Module]
  stochastic_depth: float = 0.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("resnet_cifar", x, 8)
    rates = iter(death_rates(3 * self.n, self.stochastic_depth))
    kind = getattr(self.block, "func", self.block)
    if self.stochastic_depth and "drop" not in kind.__dataclass_fields__:
      raise UserError(f"{kind.__name__} blocks have no shortcut for stochastic depth to take")
    x = ConvNorm(16, 3, 1, 1, dtype=self.dtype, name="stem")(x, train=train)
    maps = {"stem": x}
    for stage in (1, 2, 3):
      for i in range(self.n):
        strides = 2 if stage > 1 and i == 0 else 1
        options = dict(dtype=self.dtype, name=f"stage{stage}_{i}")
        if rate := next(rates):
          options["drop"] = rate
        x = self.block(8 * 2**stage, strides, **options)(x, train=train)
      maps[f"stage{stage}"] = x
    return maps


class CifarResNet(nn.Module):
  """Images [B, H, W, C] of at least 8x8 -> {"logits": [B, num_classes]}; 6n + 2 layers.

  `stochastic_depth` is the share of images for which training leaves the last block out; it grows
  in equal steps from the first block (arXiv:1603.09382).
  """

  n: int
  block: Callable[..., nn.Module] = Residual
  stochastic_depth: float = 0.0
  num_classes: int = 10
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = AT_32

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return Trunk(self.n, self.block, self.stochastic_depth, self.dtype, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    head = LinearHead(self.num_classes, dtype=self.dtype, name="head")
    return {"logits": head(maps["stage3"], train=train)}
