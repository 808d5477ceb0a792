"""DeepLab v3: a dilated trunk, pyramid pooling by dilated convolutions, bilinear upsampling.

Chen, Papandreou, Schroff, Adam, "Rethinking atrous convolution for semantic image segmentation",
arXiv:1706.05587, figure 5. `fcn_resnet50` is torchvision's: the same with a plain head; it has none
of the skips of arXiv:1411.4038.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.layers import Conv, ConvNorm, wide
from cnnjax.ops.preprocess import IMAGENET, Preprocessing
from cnnjax.ops.resize import resize

AT_520 = replace(IMAGENET, resize=520, crop=None)  # as torchvision's weights were trained


class FCNHead(nn.Module):
  """A map [B, h, w, C] -> logits [B, h, w, num_classes], by a 3x3 convolution to C / 4 channels."""

  num_classes: int
  dropout: float = 0.1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    convolution = ConvNorm(x.shape[-1] // 4, 3, padding=1, dtype=self.dtype, name="conv")
    x = nn.Dropout(self.dropout, deterministic=not train)(convolution(x, train=train))
    return Conv(self.num_classes, 1, dtype=self.dtype, name="logits")(x)


class DeepLabHead(nn.Module):
  """A map [B, h, w, C] -> logits [B, h, w, num_classes] by atrous spatial pyramid pooling.

  Attributes:
    rates: dilations of its 3x3 convolutions, for a trunk of stride 8; half of them for 16.
    width: channels of all of its layers.
  """

  num_classes: int
  rates: Sequence[int] = (12, 24, 36)
  width: int = 256
  dropout: float = 0.5
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    unit = partial(ConvNorm, self.width, dtype=self.dtype)
    parts = [unit(1, name="pyramid0")(x, train=train)]
    for n, rate in enumerate(self.rates, 1):
      branch = unit(3, padding=rate, dilation=rate, name=f"pyramid{n}")
      parts.append(branch(x, train=train))
    mean = unit(1, name="image")(x.mean((1, 2), keepdims=True), train=train)
    parts.append(jnp.broadcast_to(mean, parts[0].shape))
    x = unit(1, name="project")(jnp.concatenate(parts, -1), train=train)
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    x = unit(3, padding=1, name="conv")(x, train=train)
    return Conv(self.num_classes, 1, dtype=self.dtype, name="logits")(x)


class DeepLab(nn.Module):
  """Images [B, H, W, C] -> {"logits": [B, H, W, num_classes]}; class 0 is the background.

  With `aux` there is {"aux": {"aux": [B, H, W, num_classes]}} too, for the loss only.

  Attributes:
    classifier: the network whose trunk is used, its last map by the head, the one before by `aux`.
    make_head: `FCNHead`, `DeepLabHead`, or a partial of them.
  """

  task = "segmentation"
  classifier: nn.Module
  make_head: Callable[..., nn.Module] = DeepLabHead
  aux: bool = True
  num_classes: int = 21
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = AT_520

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, Any]:
    maps = list(self.classifier.make_trunk()(x, train=train).values())
    options = dict(dtype=self.dtype)

    def at_full_size(head, features):
      return resize(wide(head(features, train=train)), x.shape[1:3])

    head = self.make_head(self.num_classes, name="head", **options)
    outputs = {"logits": at_full_size(head, maps[-1])}
    if self.aux:
      head = FCNHead(self.num_classes, name="aux_head", **options)
      outputs["aux"] = {"aux": at_full_size(head, maps[-2])}
    return outputs
