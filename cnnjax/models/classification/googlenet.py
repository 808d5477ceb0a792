"""GoogLeNet: nine inception modules, two auxiliary classifiers.

Szegedy et al., "Going deeper with convolutions", arXiv:1409.4842, table 1. `googlenet_2014` is the
paper's: no batch norm, local response normalisation, 5x5 convolutions. `googlenet` is the one that
torchvision has weights for: batch norm (epsilon 0.001), and a 3x3 where the paper has a 5x5, a
mistake that the weights were trained with. The deck's table merges modules; the paper's has nine.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import (
  AdaptiveAvgPool,
  AvgPool,
  Conv,
  ConvNorm,
  Dense,
  Flatten,
  LinearHead,
  LocalResponseNorm,
  MaxPool,
  check_size,
  wide,
)
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

INCEPTION = {  # 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection; "M": 3x3 max pooling
  "3a": (64, 96, 128, 16, 32, 32),
  "3b": (128, 128, 192, 32, 96, 64),
  "pool3": "M",
  "4a": (192, 96, 208, 16, 48, 64),
  "4b": (160, 112, 224, 24, 64, 64),
  "4c": (128, 128, 256, 24, 64, 64),
  "4d": (112, 144, 288, 32, 64, 64),
  "4e": (256, 160, 320, 32, 128, 128),
  "pool4": "M",
  "5a": (256, 160, 320, 32, 128, 128),
  "5b": (384, 192, 384, 48, 128, 128),
}


class Original(nn.Module):
  """The 2014 network's unit: convolution with bias, ReLU."""

  features: int
  kernel_size: int
  strides: int = 1
  padding: int = 0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    del train
    options = dict(strides=self.strides, padding=self.padding, dtype=self.dtype)
    options |= dict(kernel_init=nn.initializers.he_normal(), name="conv")
    return nn.relu(Conv(self.features, self.kernel_size, **options)(x))


class Normed(ConvNorm):
  """The unit of torchvision's network: convolution, batch norm with an epsilon of 0.001, ReLU."""

  epsilon: float = 1e-3


class Inception(nn.Module):
  """[B, H, W, C] -> [B, H, W, sum of the four branches' widths] (figure 2b)."""

  widths: tuple[int, ...]
  unit: Callable[..., nn.Module]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    one, three_reduce, three, five_reduce, five, projection = self.widths
    window = 5 if self.unit is Original else 3

    def unit(name, features, size, x):
      make = self.unit(features, size, padding=size // 2, dtype=self.dtype, name=name)
      return make(x, train=train)

    pooled = MaxPool(3, 1, 1, name="pool")(x)
    branches = [
      unit("one", one, 1, x),
      unit("three", three, 3, unit("three_reduce", three_reduce, 1, x)),
      unit("five", five, window, unit("five_reduce", five_reduce, 1, x)),
      unit("projection", projection, 1, pooled),
    ]
    return jnp.concatenate(branches, axis=-1)


class Trunk(nn.Module):
  """Images -> conv1 (stride 2, 64 channels), conv2 (4, 192) and the nine modules' maps.

  inception3a, 3b: stride 8, 256 and 480 channels; 4a to 4e: 16, 512, 512, 512, 528, 832; 5a, 5b:
  32, 832 and 1024.
  """

  unit: Callable[..., nn.Module]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("googlenet", x, 32)
    maps, normalise = {}, self.unit is Original
    options = dict(dtype=self.dtype)
    x = self.unit(64, 7, strides=2, padding=3, name="conv1", **options)(x, train=train)
    maps["conv1"] = x
    x = MaxPool(3, 2, ceil=True, name="pool1")(x)
    x = LocalResponseNorm(name="norm1")(x) if normalise else x
    x = self.unit(64, 1, name="conv2_reduce", **options)(x, train=train)
    x = maps["conv2"] = self.unit(192, 3, padding=1, name="conv2", **options)(x, train=train)
    x = LocalResponseNorm(name="norm2")(x) if normalise else x
    x = MaxPool(3, 2, ceil=True, name="pool2")(x)
    for name, row in INCEPTION.items():
      if row == "M":
        window = 2 if name == "pool4" and not normalise else 3  # torchvision's last one is 2x2
        x = MaxPool(window, 2, ceil=True, name=name)(x)
      else:
        name = f"inception{name}"
        x = maps[name] = Inception(row, self.unit, self.dtype, name=name)(x, train=train)
    return maps


class Auxiliary(nn.Module):
  """A map [B, h, w, C] -> logits [B, num_classes] (section 5); from 14x14 by 5x5 pooling to 4x4."""

  num_classes: int
  unit: Callable[..., nn.Module]
  dropout: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    if self.unit is Original and x.shape[1:3] == (14, 14):
      x = AvgPool(5, 3, name="pool")(x)
    else:  # torchvision's, and other sizes
      x = AdaptiveAvgPool(4, name="pool")(x)
    x = self.unit(128, 1, dtype=self.dtype, name="conv")(x, train=train)
    x = nn.relu(Dense(1024, dtype=self.dtype, name="fc1")(Flatten(name="flatten")(x)))
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return wide(Dense(self.num_classes, dtype=self.dtype, name="fc2")(x))


class GoogLeNet(nn.Module):
  """Images [B, H, W, C] of at least 32x32 -> {"logits": [B, num_classes], "aux": two of them}.

  The auxiliary logits, of modules 4a and 4d, are for the loss only; `aux` False leaves them out.
  """

  unit: Callable[..., nn.Module] = Normed
  dropout: float = 0.2
  aux: bool = True
  aux_dropout: float = 0.7
  num_classes: int = 1000
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return Trunk(self.unit, self.dtype, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, Any]:
    maps = self.make_trunk()(x, train=train)
    head = LinearHead(self.num_classes, self.dropout, self.dtype, name="head")
    outputs = {"logits": head(maps["inception5b"], train=train)}
    if self.aux:
      outputs["aux"] = {}
      for name, module in (("aux1", "inception4a"), ("aux2", "inception4d")):
        arguments = self.num_classes, self.unit, self.aux_dropout, self.dtype
        outputs["aux"][name] = Auxiliary(*arguments, name=name)(maps[module], train=train)
    return outputs
