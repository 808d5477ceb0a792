"""I3D: a network of images inflated to one of clips, with its weights.

Carreira and Zisserman, "Quo vadis, action recognition?", arXiv:1705.07750, section 2.4. Windows of
NxN become NxNxN, and kernels are repeated N times along time and divided by N. Where a window
reaches over the ends of a clip, its first or last frame is repeated; with zeros, as around a frame,
a clip that repeats one frame would not give what the image gives.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.layers import AvgPool, Conv, LinearHead, MaxPool
from cnnjax.ops.clip import ClipPreprocessing
from cnnjax.ops.conv import conv, each, pads
from cnnjax.ops.pool import avg_pool, max_pool
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

HALVED = (1, 8, 16)  # figure 3: conv1, and the third and fourth pooling


class I3D(nn.Module):
  """Clips [B, T, H, W, C] -> {"logits": [B, num_classes]}, of the mean of the trunk's last map.

  Attributes:
    classifier: of images, whose trunk is inflated.
    halved: strides of the maps on which a layer that halves height and width halves time too; other
      layers leave it alone.
    dropout: before the last layer.
  """

  classifier: nn.Module
  halved: tuple[int, ...] = HALVED
  dropout: float = 0.0
  num_classes: int = 400
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = ClipPreprocessing(
    frames=64, resize=256, crop=(224, 224), mean=IMAGENET.mean, std=IMAGENET.std
  )

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    with nn.intercept_methods(partial(_inflate, height=x.shape[2], halved=self.halved)):
      maps = self.classifier.make_trunk()(x, train=train)
    head = LinearHead(self.num_classes, self.dropout, self.dtype, name="head")
    return {"logits": head(list(maps.values())[-1], train=train)}


def inflate(variables: Any) -> Any:
  """Returns the variables of an inflated network from those of the network of images.

  Kernels [h, w, C, D] become [h, h, w, C, D]; other leaves stay.
  """
  return jax.tree.map(lambda leaf: inflated(leaf) if leaf.ndim == 4 else leaf, variables)


def inflated(kernel: Any) -> Any:
  """Returns a kernel [h, w, C, D] as [h, h, w, C, D], whose sum over time is the kernel."""
  return np.repeat(np.asarray(kernel)[None] / len(kernel), len(kernel), 0)


def _inflate(call, args, kwargs, context, *, height, halved):
  """Calls a layer of images on clips, x [B, T, H, W, C], if it has a window."""
  compute = {Conv: _conv, MaxPool: _max_pool, AvgPool: _avg_pool}.get(type(context.module))
  if context.method_name != "__call__" or not compute:
    return call(*args, **kwargs)
  (x,) = args
  return compute(context.module, x, 2 ** round(math.log2(height / x.shape[2])) in halved)


def _conv(layer, x, halves):
  x, window, places = _places(layer, x, layer.kernel_size, halves)
  shape = (*window, x.shape[-1] // layer.groups, layer.features)
  kernel = layer.param("kernel", layer.kernel_init, shape).astype(layer.dtype)
  y = conv(x.astype(layer.dtype), kernel, groups=layer.groups, **places)
  if layer.use_bias:
    y = y + layer.param("bias", layer.bias_init, (layer.features,)).astype(layer.dtype)
  return y


def _max_pool(layer, x, halves):
  x, window, places = _places(layer, x, layer.window, halves, thin=True)
  return max_pool(x, window, ceil=layer.ceil, **places)


def _avg_pool(layer, x, halves):
  x, window, places = _places(layer, x, layer.window, halves, thin=True)
  return avg_pool(x, window, count_padding=layer.count_padding, **places)


def _places(layer, x, window, halves, thin=False):
  """Returns x with its ends repeated, its window, and strides and padding of three dimensions.

  With `thin`, a layer that shrinks the frames but not time sees one frame at a time (figure 3).
  """
  window, frames = each(window, 2), x.shape[1]
  strides = each(window if layer.strides is None else layer.strides, 2)
  padding = pads(layer.padding, 2)
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(x.shape[2:4], window, strides, padding)
  stride = strides[0] if halves else 1
  depth = 1 if thin and strides[0] > stride else window[0]
  short = max((-(-frames // stride) - 1) * stride + depth - frames, 0)
  x = jnp.pad(x, [(0, 0), (short // 2, short - short // 2), *[(0, 0)] * 3], mode="edge")
  return x, (depth, *window), dict(strides=(stride, *strides), padding=((0, 0), *padding))
