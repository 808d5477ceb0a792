"""The small networks of the course, whose weights it counts and which it trains."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.layers import Conv, Dense, Flatten, MaxPool, check_size, wide
from cnnjax.ops.preprocess import Preprocessing

GREY28 = Preprocessing(resize=(28, 28), channels=1)


class Logistic(nn.Module):
  """Numbers [B, ...] -> {"logits": [B, num_classes]} by softmax regression (course/000)."""

  num_classes: int = 10
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = GREY28

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    del train
    x = Flatten(name="flatten")(x)
    return {"logits": wide(Dense(self.num_classes, dtype=self.dtype, name="head")(x))}


class MLPTrunk(nn.Module):
  """Numbers [B, ...] -> fc1, fc2, .. [B, hidden]."""

  hidden: tuple[int, ...]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    del train
    x, maps = Flatten(name="flatten")(x), {}
    for i, width in enumerate(self.hidden, 1):
      x = maps[f"fc{i}"] = nn.relu(Dense(width, dtype=self.dtype, name=f"fc{i}")(x))
    return maps


class MLP(nn.Module):
  """Numbers [B, ...] -> {"logits": [B, num_classes]} by fully connected layers with ReLU.

  Two layers of 100 are course/001's, whose weights it counts; a few units learn course/000's XOR.
  """

  hidden: tuple[int, ...] = (100, 100)
  num_classes: int = 10
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = GREY28

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = MLPTrunk(self.hidden, self.dtype, name="trunk")(x, train=train)
    head = Dense(self.num_classes, dtype=self.dtype, name="head")
    return {"logits": wide(head(maps[f"fc{len(self.hidden)}"]))}


class ConvTrunk(nn.Module):
  """Images -> conv1, conv2, .. after ReLU, each followed by 2x2 max pooling, and `pooled`."""

  features: tuple[int, ...]
  padding: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    del train
    check_size("this network", x, 10 if self.padding == 0 else 4)
    maps = {}
    for i, width in enumerate(self.features, 1):
      options = dict(
        padding=self.padding, dtype=self.dtype, kernel_init=nn.initializers.he_normal()
      )
      x = maps[f"conv{i}"] = nn.relu(Conv(width, 3, name=f"conv{i}", **options)(x))
      x = MaxPool(2, name=f"pool{i}")(x)
    return {**maps, "pooled": x}


class DenseHead(nn.Module):
  """Feature map [B, H, W, C] -> logits [B, num_classes] by hidden layers, dropout after each."""

  hidden: tuple[int, ...]
  dropout: float
  num_classes: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = Flatten(name="flatten")(x)
    for i, width in enumerate(self.hidden, 1):
      x = nn.relu(Dense(width, dtype=self.dtype, name=f"fc{i}")(x))
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    name = f"fc{len(self.hidden) + 1}"
    return wide(Dense(self.num_classes, dtype=self.dtype, name=name)(x))


class ClassroomCNN(nn.Module):
  """Images [B, H, W, C] -> {"logits": [B, num_classes]}: 3x3 convolutions, then hidden layers.

  `lecture_cnn` is course/003's listing, `tumor_net` course/000's NetChain.
  """

  features: tuple[int, ...]
  padding: int
  hidden: tuple[int, ...]
  dropout: float = 0.0
  num_classes: int = 10
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = GREY28

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return ConvTrunk(self.features, self.padding, self.dtype, name="trunk")

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    head = DenseHead(self.hidden, self.dropout, self.num_classes, self.dtype, name="head")
    return {"logits": head(maps["pooled"], train=train)}


class LocallyConnected(nn.Module):
  """A convolution with separate weights for every output pixel (course/004).

  [B, H, W, C] -> [B, H', W', features], H' = H - window + 1.
  """

  features: int
  window: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    k, c = self.window, x.shape[-1]
    patches = lax.conv_general_dilated_patches(
      x.astype(self.dtype), (k, k), (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )  # [B, H', W', C k k], the channel first
    shape = (*patches.shape[1:3], c * k * k, self.features)
    kernel_init = nn.initializers.he_normal(in_axis=-2, out_axis=-1, batch_axis=(0, 1))
    kernel = self.param("kernel", kernel_init, shape).astype(self.dtype)
    bias = self.param("bias", nn.initializers.zeros, (*shape[:2], self.features))
    return jnp.einsum("bhwi,hwif->bhwf", patches, kernel) + bias.astype(self.dtype)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """As many as the convolution of the same shape."""
    return self.window**2 * x[-1] * math.prod(y)


class LocalTrunk(nn.Module):
  """Images -> local1 [B, H-4, W-4, 8], local2 after pooling by 2, and `pooled`."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    del train
    check_size("local_net", x, 12)
    maps = {}
    for i, (features, window) in enumerate(((8, 5), (16, 3)), 1):
      layer = LocallyConnected(features, window, self.dtype, name=f"local{i}")
      x = maps[f"local{i}"] = nn.relu(layer(x))
      x = MaxPool(2, name=f"pool{i}")(x)
    return {**maps, "pooled": x}


class LocalNet(nn.Module):
  """Images [B, H, W, C] -> {"logits": [B, num_classes]} by two locally connected layers."""

  num_classes: int = 10
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = GREY28

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = LocalTrunk(self.dtype, name="trunk")(x, train=train)
    head = DenseHead((), 0.0, self.num_classes, self.dtype, name="head")
    return {"logits": head(maps["pooled"], train=train)}
