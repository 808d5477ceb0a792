"""FCN: a classifier's layers as convolutions, whose map of scores is upsampled to the image.

Long, Shelhamer, Darrell, "Fully convolutional networks for semantic segmentation",
arXiv:1411.4038, figure 3 and section 4. Against the authors' Caffe files:

- Scores of the map of each skip start at zero and the 2x upsamplings at bilinear interpolation, and
  both are learnt; the last upsampling stays bilinear (section 4.3; the files keep all of them).
- It repeats the outermost values where the image begins, which the files let fade to zero.
- The image is padded by 100 pixels, as in the files, of which the paper does not tell; `padded`
  False pads the map that `fc6` reads instead, and computes a third as much at 224x224.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import unknown
from cnnjax.layers import KAIMING, Conv, ConvTranspose, wide
from cnnjax.ops.preprocess import IMAGENET, Preprocessing
from cnnjax.ops.resize import fit, resize

MARGIN = 99  # VGG's first convolution adds one more
FCN32S = ("pool5",)  # maps that scores are computed of, each twice the size of the one before
FCN16S = ("pool5", "pool4")
FCN8S = ("pool5", "pool4", "pool3")

WHOLE = replace(IMAGENET, resize=None, crop=None)


def bilinear(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
  """Returns a kernel [k, k, C, C] that interpolates each channel, for k / 2 times the size."""
  del key
  size, channels = shape[0], shape[-1]
  factor = (size + 1) // 2
  middle = (size - 1) / 2 if size % 2 == 0 else factor - 1
  line = 1 - jnp.abs(jnp.arange(size) - middle) / factor
  square = line[:, None, None, None] * line[:, None, None]
  return (square * jnp.eye(channels)).astype(dtype)


class FCN(nn.Module):
  """Images [B, H, W, C] -> {"logits": [B, H, W, num_classes]}, of which class 0 is the background.

  Attributes:
    classifier: the network whose trunk is used; another one than VGG names its own maps in `taken`.
    taken: its maps that are scored: the coarsest, from which `fc6` reads, then the skips.
    hidden: channels of `fc6` (7x7) and `fc7` (1x1), the classifier's dense layers in the paper.
    padded: whether the image is padded, else the map that `fc6` reads.
  """

  task = "segmentation"
  classifier: nn.Module
  taken: Sequence[str] = FCN32S
  hidden: int = 4096
  dropout: float = 0.5
  padded: bool = True
  num_classes: int = 21
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = WHOLE

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    height, width = x.shape[1:3]
    margin = MARGIN if self.padded else 0
    x = jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    sides = x.shape[1:3]
    maps = self.classifier.make_trunk()(x, train=train)
    for name in self.taken:
      if name not in maps:
        raise unknown("map of the trunk", name, maps)

    x = maps[self.taken[0]]
    around, cut = (0, 3) if self.padded else (3, 0)  # cells that the window takes at each side
    for name, window, padding in (("fc6", 7, around), ("fc7", 1, 0)):
      options = dict(padding=padding, dtype=self.dtype, kernel_init=KAIMING, name=name)
      x = nn.relu(Conv(self.hidden, window, **options)(x))
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    x = self._score(x, self.taken[0])
    for name in self.taken[1:]:
      options = dict(use_bias=False, dtype=self.dtype, kernel_init=bilinear)
      x = ConvTranspose(self.num_classes, 4, 2, 1, name=f"up_{name}", **options)(x)
      cut *= 2
      skip = self._score(maps[name], name)[:, cut:, cut:]
      x = fit(x, [min(pair) for pair in zip(x.shape[1:3], skip.shape[1:3])])
      x = x + fit(skip, x.shape[1:3])

    stride = 2 ** round(math.log2(sides[0] / maps[self.taken[-1]].shape[1]))
    x = resize(wide(x), [stride * n for n in x.shape[1:3]])
    first = margin - cut * stride  # the pixel at which the image begins
    return {"logits": fit(x[:, first:, first:], (height, width))}

  def _score(self, x, name):
    zeros = nn.initializers.zeros  # section 4.3
    return Conv(self.num_classes, 1, dtype=self.dtype, kernel_init=zeros, name=f"score_{name}")(x)
