"""Airbench: seven convolutions that learn CIFAR-10 in ten epochs.

Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498; what it does not say is
from the author's program (https://github.com/KellerJordan/cifar10-airbench, airbench94.py).
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.layers import BatchNorm, Conv, Dense, Flatten, MaxPool, PyramidPool, check_size, wide
from cnnjax.ops.preprocess import Preprocessing
from cnnjax.ops.whiten import whitening

PATCH = 2  # side of the patches that the first layer whitens
BLOCK = ("conv1", "pool", "norm1", "gelu", "conv2", "norm2", "gelu")  # 3x3 convolutions, 2x2 pool
WIDTHS = (64, 256, 256)  # of the three blocks
SCALE = 1 / 9  # of the logits
MOMENTUM = 0.6  # share of the running statistics that a step keeps
EPSILONS = dict(norm=1e-12, whitening=5e-4)

gelu = partial(nn.gelu, approximate=False)
uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # PyTorch's own


def dirac(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
  """Returns a kernel [k, k, C, D] whose first outputs, up to C, are copies of the inputs.

  The others are drawn as PyTorch draws them.
  """
  kernel, same = uniform(key, shape, dtype), min(shape[-2:])
  centre = tuple(side // 2 for side in shape[:-2])
  kernel = kernel.at[..., :same].set(0)
  return kernel.at[(*centre, jnp.arange(same), jnp.arange(same))].set(1)


class Block(nn.Module):
  """[B, H, W, C] -> [B, H/2, W/2, width], the rows of `BLOCK`."""

  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    for row in BLOCK:
      if row.startswith("conv"):
        options = dict(padding=1, use_bias=False, kernel_init=dirac, dtype=self.dtype)
        x = Conv(self.width, 3, name=row, **options)(x)
      elif row.startswith("norm"):
        options = dict(epsilon=EPSILONS["norm"], use_scale=False, dtype=self.dtype)
        x = BatchNorm(MOMENTUM, name=row, **options)(x, train=train)
      else:
        x = MaxPool(2, name=row)(x) if row == "pool" else gelu(x)
    return x


class Trunk(nn.Module):
  """Images -> whiten (one pixel less, 24 channels of RGB), block1 (stride 2), block2, block3 (8).

  The whitening layer has each output twice, with opposite signs, for the GELU passes only one.
  """

  widths: tuple[int, ...]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("airbench94", x, 9)
    outputs = 2 * PATCH**2 * x.shape[-1]
    options = dict(kernel_init=uniform, dtype=self.dtype, name="whiten")
    x = gelu(Conv(outputs, PATCH, **options)(x))
    maps = {"whiten": x}
    for n, width in enumerate(self.widths, 1):
      x = maps[f"block{n}"] = Block(width, self.dtype, name=f"block{n}")(x, train=train)
    return maps


class Head(nn.Module):
  """Feature map [B, h, w, C] -> logits [B, num_classes]: global max pooling, one layer, a factor.

  The paper pools 3x3, which is its whole last map.
  """

  num_classes: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    x = Flatten(name="flatten")(PyramidPool((1,), name="pool")(x))
    options = dict(use_bias=False, kernel_init=uniform, dtype=self.dtype, name="fc")
    return SCALE * wide(Dense(self.num_classes, **options)(x))


class Airbench(nn.Module):
  """Images [B, H, W, C] of at least 9x9 -> {"logits": [B, num_classes]}."""

  widths: tuple[int, ...] = WIDTHS
  num_classes: int = 10
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = Preprocessing(resize=(32, 32))

  @nn.nowrap
  def make_trunk(self) -> nn.Module:
    """Returns the trunk, for this network or another's."""
    return Trunk(self.widths, self.dtype, name="trunk")

  @nn.nowrap
  def from_images(self, variables: dict[str, Any], images: np.ndarray) -> dict[str, Any]:
    """Returns the variables with a first layer that whitens normalised images [N, H, W, C].

    Only its bias should be trained: set the kernel's rate to 0 in `optim.rates`.
    """
    params = variables["params"]
    whiten, trunk = params["trunk"]["whiten"], params["trunk"]
    kernel = whitening(images, PATCH, EPSILONS["whitening"])
    whiten = {**whiten, "kernel": np.concatenate([kernel, -kernel], -1)}
    return {**variables, "params": {**params, "trunk": {**trunk, "whiten": whiten}}}

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = self.make_trunk()(x, train=train)
    last = maps[f"block{len(self.widths)}"]
    return {"logits": Head(self.num_classes, self.dtype, name="head")(last)}
