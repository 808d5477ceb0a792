"""Convolution and dense layers, with the parameters of Flax's layers of the same names."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.ops.conv import Padding, Sizes, conv, each
from cnnjax.ops.conv_transpose import conv_transpose
from cnnjax.ops.dense import dense


class Conv(nn.Module):
  """Convolution [B, *space, C] -> [B, *space', features]; `ops.conv.conv` with parameters.

  Attributes:
    features: output channels.
    kernel_size: of the window, for each spatial dimension, or one int for all.
    padding: zeros on each side (as in PyTorch), pairs of them, "SAME" or "VALID".
    groups: of channels; the outputs of a group read only its own inputs.
    dtype: of the computation; parameters stay float32.
  """

  features: int
  kernel_size: int | Sequence[int]
  strides: Sizes = 1
  padding: Padding = 0
  dilation: Sizes = 1
  groups: int = 1
  use_bias: bool = True
  dtype: Any = jnp.float32
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  bias_init: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    window = each(self.kernel_size, x.ndim - 2)
    channels = x.shape[-1]
    if self.has_variable("params", "kernel"):
      wanted = self.get_variable("params", "kernel").shape[-2] * self.groups
      if channels != wanted:
        where = "/".join(self.path)
        raise UserError(f"{where} was made for {wanted} channels, but its input has {channels}")
    shape = (*window, channels // self.groups, self.features)
    kernel = self.param("kernel", self.kernel_init, shape).astype(self.dtype)
    y = conv(
      x.astype(self.dtype),
      kernel,
      strides=self.strides,
      padding=self.padding,
      dilation=self.dilation,
      groups=self.groups,
    )
    if self.use_bias:
      y = y + self.param("bias", self.bias_init, (self.features,)).astype(self.dtype)
    return y

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns the multiply-adds from an input to an output of these shapes."""
    return math.prod(each(self.kernel_size, len(x) - 2)) * x[-1] // self.groups * math.prod(y)


class ConvTranspose(nn.Module):
  """Transposed convolution [B, *space, C] -> [B, *space', features]; n pixels (n - 1) s + k - 2 p.

  The kernel is `transposed` [*window, C, features]: its name tells what PyTorch's files have in
  another order.

  Attributes:
    features: output channels.
    kernel_size: k of the window, for each spatial dimension, or one int for all.
    strides: s, by which the map grows.
    padding: p, pixels cut off on each side (as in PyTorch).
    dtype: of the computation; parameters stay float32.
  """

  features: int
  kernel_size: Sizes
  strides: Sizes = 1
  padding: int = 0
  use_bias: bool = True
  dtype: Any = jnp.float32
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  bias_init: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (*each(self.kernel_size, x.ndim - 2), x.shape[-1], self.features)
    kernel = self.param("transposed", self.kernel_init, shape).astype(self.dtype)
    x = x.astype(self.dtype)
    y = conv_transpose(x, kernel, strides=self.strides, padding=self.padding)
    if self.use_bias:
      y = y + self.param("bias", self.bias_init, (self.features,)).astype(self.dtype)
    return y

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns the multiply-adds from an input to an output of these shapes."""
    return math.prod(each(self.kernel_size, len(x) - 2)) * math.prod(x) * y[-1]


class Dense(nn.Module):
  """Fully connected layer [..., C] -> [..., features]; `ops.dense.dense` with parameters.

  Attributes:
    features: output channels.
    dtype: of the computation; parameters stay float32.
  """

  features: int
  use_bias: bool = True
  dtype: Any = jnp.float32
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  bias_init: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape).astype(self.dtype)
    y = dense(x.astype(self.dtype), kernel)
    if self.use_bias:
      y = y + self.param("bias", self.bias_init, (self.features,)).astype(self.dtype)
    return y

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns the multiply-adds from an input to an output of these shapes."""
    return x[-1] * math.prod(y)
