"""Residual networks of volumes and clips: R3D, MC3 and R(2+1)D.

Tran et al., "A closer look at spatiotemporal convolutions for action recognition",
arXiv:1711.11248, table 1 and figure 1. Layers are those that torchvision has weights for: both
convolutions of an R(2+1)D block have the inner width of its first one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import ConvNorm, LinearHead, check_size
from cnnjax.ops.clip import KINETICS
from cnnjax.ops.preprocess import Preprocessing

Unit = Callable[..., nn.Module]  # (width, inner, strides, **fields of a ConvNorm)


def full(width: int, inner: int, strides: int, **options: Any) -> nn.Module:
  """Returns a convolution over 3x3x3 cells, strided in all three dimensions."""
  del inner
  return ConvNorm(width, 3, strides, 1, **options)


def flat(width: int, inner: int, strides: int, **options: Any) -> nn.Module:
  """Returns a convolution over 1x3x3 cells, which leaves time alone."""
  del inner
  return ConvNorm(width, (1, 3, 3), (1, strides, strides), (0, 1, 1), **options)


class Factored(nn.Module):
  """A convolution over space, batch norm, ReLU, then one over time: (2+1)D (figure 1e).

  Attributes:
    width: channels out.
    inner: channels between the two.
    strides: of space in the first, and of time in the second.
    window: cells of the first, along each side.
    time: whether `strides` is that of time too.
    others: as in `ConvNorm`.
  """

  width: int
  inner: int
  strides: int = 1
  window: int = 3
  time: bool = True
  activation: Callable[[jax.Array], jax.Array] | None = nn.relu
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, residual: jax.Array | None = None) -> jax.Array:
    k, s, p = self.window, self.strides, self.window // 2
    space = ConvNorm(self.inner, (1, k, k), (1, s, s), (0, p, p), dtype=self.dtype, name="space")
    window, strides, padding = (3, 1, 1), (s if self.time else 1, 1, 1), (1, 0, 0)
    options = dict(activation=self.activation, dtype=self.dtype, name="time")
    time = ConvNorm(self.width, window, strides, padding, **options)
    return time(space(x, train=train), train=train, residual=residual)


def stem(width: int, **options: Any) -> nn.Module:
  """Returns R3D's and MC3's first layer, over 3x7x7 cells."""
  return ConvNorm(width, (3, 7, 7), (1, 2, 2), (1, 3, 3), **options)


factored_stem = partial(Factored, inner=45, strides=2, window=7, time=False)


class Block(nn.Module):
  """x [B, T, H, W, C] -> relu(x + two units of x), [B, T', H/s, W/s, width].

  The shortcut is a projection where shapes differ.
  """

  width: int
  unit: Unit
  strides: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    c = x.shape[-1]
    inner = 27 * c * self.width // (9 * c + 3 * self.width)  # as many parameters as 3x3x3 has
    options = dict(dtype=self.dtype)
    y = self.unit(self.width, inner, self.strides, name="conv1", **options)(x, train=train)
    if x.shape != y.shape:
      strides = tuple(-(-a // b) for a, b in zip(x.shape[1:4], y.shape[1:4]))
      options |= dict(activation=None, name="shortcut")
      x = ConvNorm(self.width, 1, strides, **options)(x, train=train)
    last = self.unit(self.width, inner, 1, dtype=self.dtype, name="conv2")
    return last(y, train=train, residual=x)


class Trunk(nn.Module):
  """Clips -> stem (space halved), stage1 .. stage4 (space halved in each but the first).

  Channels of the stages: width times 1, 2, 4, 8. Fields as in `ResNet3D`.
  """

  units: tuple[Unit, ...]
  stem: Callable[..., nn.Module] = stem
  depths: tuple[int, ...] = (2, 2, 2, 2)
  width: int = 64
  rematerialise: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("resnet3d", x, (1, 1, 1))

    def apply(block, x):
      return block(x, train=train)

    apply = nn.remat(apply) if self.rematerialise else apply
    x = self.stem(self.width, dtype=self.dtype, name="stem")(x, train=train)
    maps = {"stem": x}
    for stage, (unit, depth) in enumerate(zip(self.units, self.depths), 1):
      for i in range(depth):
        arguments = self.width << (stage - 1), unit, 2 if stage > 1 and i == 0 else 1
        x = apply(Block(*arguments, dtype=self.dtype, name=f"stage{stage}_{i}"), x)
      maps[f"stage{stage}"] = x
    return maps


class ResNet3D(nn.Module):
  """Clips [B, T, H, W, C], or volumes, of any size -> {"logits": [B, num_classes]}.

  Attributes:
    units: what a convolution is in each stage: `full`, `flat` or `Factored`.
    stem: the first layer.
    depths: blocks of the stages.
    width: channels of the first stage.
    rematerialise: whether the backward pass recomputes a block's activations instead of keeping
      them: less memory, more time (arXiv:1604.06174).
  """

  units: tuple[Unit, ...]
  stem: Callable[..., nn.Module] = stem
  depths: tuple[int, ...] = (2, 2, 2, 2)
  width: int = 64
  rematerialise: bool = False
  num_classes: int = 400
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = KINETICS

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    arguments = self.units, self.stem, self.depths, self.width, self.rematerialise, self.dtype
    return Trunk(*arguments, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    head = LinearHead(self.num_classes, dtype=self.dtype, name="head")
    return {"logits": head(maps[f"stage{len(self.depths)}"], train=train)}
