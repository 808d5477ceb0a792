"""SPPnet: one map of features an image, and a pyramid of maxima of it in each window.

He, Zhang, Ren, Sun, "Spatial pyramid pooling in deep convolutional networks for visual
recognition", arXiv:1406.4729, section 4. What follows the pyramid is R-CNN's: two layers, an SVM a
class, regression (`experiments/train_rcnn.py`). The paper fine-tunes the layers only:
`optim.rates=(("trunk/", 0.0),)` with a trunk that has learnt before; the gradient of the pyramid
also reaches the trunk.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.models.detection import rcnn
from cnnjax.models.detection.fast_rcnn import with_proposals
from cnnjax.models.detection.rcnn import WHOLE, Arrays, Head, looked_at, map_of
from cnnjax.ops.preprocess import Preprocessing
from cnnjax.ops.roi import pyramid_pool


class SPPNet(nn.Module):
  """Images [B, H, W, C] and proposals -> scores [B, R, C] and offsets [B, R, C, 4] of them.

  Attributes:
    classifier: the network whose trunk is taken.
    layer: the trunk's map that windows are read from.
    pyramid: parts of a window along each side, each dividing the largest.
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
    found = looked_at(x, key, self.count, self.fraction)
    maps = map_of(self.classifier.make_trunk()(x["image"], train=train), self.layer)
    stride = 2 ** round(math.log2(x["image"].shape[1] / maps.shape[1]))
    pooled = pyramid_pool(maps, found["regions"], 1 / stride, tuple(self.pyramid))
    head = Head(self.num_classes, self.hidden, self.dropout, self.dtype, name="head")
    return {**found, **head(pooled.reshape(*pooled.shape[:2], -1), train=train)}

  @nn.nowrap
  def loss(self, outputs: Arrays, truth: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, Any]]:
    """The loss of the fine-tuning; see `rcnn.loss`."""
    return rcnn.loss(outputs, truth)

  @nn.nowrap
  def decode(self, outputs: Arrays) -> Arrays:
    """Returns the boxes found, best first; see `rcnn.decode`."""
    return rcnn.decode(outputs, self.places, self.suppression)
