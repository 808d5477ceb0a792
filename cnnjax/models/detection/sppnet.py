"""SPPnet: one feature map an image, and a pyramid of its maxima in each window.

He, Zhang, Ren, Sun, "Spatial pyramid pooling in deep convolutional networks for visual
recognition", arXiv:1406.4729, section 4. After the pyramid it is R-CNN: two layers, an SVM a class,
regression (`experiments/train_rcnn.py`). Gradients pass through the pyramid to the trunk; the paper
fine-tunes the two layers only: `optim.rates=(("trunk/", 0.0),)` with a pretrained trunk.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.models.detection import rcnn
from cnnjax.models.detection.fast_rcnn import with_proposals
from cnnjax.models.detection.rcnn import WHOLE, Arrays, Head, map_of, regions_of
from cnnjax.ops.preprocess import Preprocessing
from cnnjax.ops.roi import pyramid_pool


class SPPNet(nn.Module):
  """Images [B, H, W, C] and proposals -> scores [B, R, C] and offsets [B, R, C, 4] of them.

  Attributes:
    classifier: the network whose trunk is taken.
    layer: the trunk's map that windows are pooled from.
    pyramid: numbers of parts along each side of a window; each must divide the largest.
    others: as in `RCNN`.
  """

  task = "detection"
  classifier: nn.Module
  layer: str = "conv5"
  pyramid: Sequence[int] = (1, 2, 3, 6)
  hidden: int = 4096
  dropout: float = 0.5
  count: int = 32
  fraction: float = 0.25
  places: int = 100
  suppression: float = 0.3
  num_classes: int = 20
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = WHOLE

  @nn.compact
  def __call__(self, x: Any, *, train: bool) -> Arrays:
    x = with_proposals(x, self.is_initializing())
    key = self.make_rng("sample") if train else None
    found = regions_of(x, key, self.count, self.fraction)
    maps = map_of(self.classifier.make_trunk()(x["image"], train=train), self.layer)
    stride = 2 ** round(math.log2(x["image"].shape[1] / maps.shape[1]))
    pooled = pyramid_pool(maps, found["regions"], 1 / stride, tuple(self.pyramid))
    head = Head(self.num_classes, self.hidden, self.dropout, self.dtype, name="head")
    return {**found, **head(pooled.reshape(*pooled.shape[:2], -1), train=train)}

  @nn.nowrap
  def loss(
    self,
    outputs: Arrays,
    truth: dict[str, jax.Array],
    counts: Mapping[str, jax.Array] | None = None,
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Returns the loss of the fine-tuning and the sums to log."""
    return rcnn.loss(outputs, truth, counts)

  @nn.nowrap
  def decode(self, outputs: Arrays) -> Arrays:
    """Returns an image's detections, best first: boxes [B, K, 4], labels, scores, valid [B, K]."""
    return rcnn.decode(outputs, self.places, self.suppression)
