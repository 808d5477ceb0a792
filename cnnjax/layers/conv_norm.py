"""The unit that most networks since 2015 are built of."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers.conv import Conv
from cnnjax.layers.norm import BatchNorm
from cnnjax.ops.conv import Padding, Sizes

KAIMING = nn.initializers.variance_scaling(2.0, "fan_out", "normal")  # He et al. 2015


class ConvNorm(nn.Module):
  """Convolution without bias, batch norm, activation: [B, H, W, C] -> [B, H', W', features].

  A residual of the result's shape is added before the activation.

  Attributes:
    activation: of the result; None for none.
    epsilon: of the batch norm.
    others: as in `Conv`.
  """

  features: int
  kernel_size: Sizes
  strides: Sizes = 1
  padding: Padding = 0
  dilation: Sizes = 1
  groups: int = 1
  activation: Callable[[jax.Array], jax.Array] | None = nn.relu
  epsilon: float = 1e-5
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, residual: jax.Array | None = None) -> jax.Array:
    x = Conv(
      self.features,
      self.kernel_size,
      strides=self.strides,
      padding=self.padding,
      dilation=self.dilation,
      groups=self.groups,
      use_bias=False,
      dtype=self.dtype,
      kernel_init=KAIMING,
      name="conv",
    )(x)
    norm = BatchNorm(epsilon=self.epsilon, dtype=self.dtype, name="norm")
    return norm(x, train=train, residual=residual, activation=self.activation)
