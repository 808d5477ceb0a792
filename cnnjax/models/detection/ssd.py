"""SSD: boxes and their classes predicted on several maps, without proposals.

Liu et al., "SSD: Single shot multibox detector", arXiv:1512.02325.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.layers import Conv, L2Norm, MaxPool, of_strides, wide
from cnnjax.ops import boxes as ops
from cnnjax.ops import losses
from cnnjax.ops.anchors import default_boxes
from cnnjax.ops.detections import detections
from cnnjax.ops.matching import match_ssd
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the offsets; 1 / the variances of the authors' program
XAVIER = nn.initializers.xavier_uniform()
HALF, VALID = (3, 2, 1), (3, 1, 0)  # kernel, stride, padding

# Channels of a 1x1 convolution, then channels, kernel, stride, padding of the next: figure 2.
EXTRA300 = ((256, 512, *HALF), (128, 256, *HALF), (128, 256, *VALID), (128, 256, *VALID))
EXTRA512 = ((256, 512, *HALF), *((128, 256, *HALF),) * 3, (128, 256, 4, 1, 1))
SSD300 = dict(
  extra=EXTRA300,
  scales=(0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
  ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
  steps=(8, 16, 32, 64, 100, 300),
)
SSD512 = dict(
  extra=EXTRA512,
  scales=(0.07, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05),
  ratios=((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
  steps=(8, 16, 32, 64, 128, 256, 512),
)
CAFFE300, CAFFE512 = (
  Preprocessing((n, n), mean=(0.48235, 0.45882, 0.40784), std=(1 / 255,), interpolation="linear")
  for n in (300, 512)
)


def encode(
  references: jax.Array, boxes: jax.Array, labels: jax.Array, valid: jax.Array, overlap: float
) -> tuple[jax.Array, jax.Array]:
  """Returns the target class [M] and offsets [M, 4] of an image's default boxes [M, 4].

  Class 0 is the background, c + 1 the label c of the true boxes [N, 4] (section 2.2).
  """
  matches = match_ssd(ops.iou(boxes, references), valid, overlap)
  index = jnp.maximum(matches, 0)
  kind = jnp.where(matches >= 0, labels[index] + 1, 0)
  return kind, ops.encode(boxes[index], references, WEIGHTS)


def hardest(loss: jax.Array, positive: jax.Array, ratio: float) -> jax.Array:
  """Returns whether [B, M] boxes are the hardest negatives, `ratio` to a positive (section 2.2).

  Those are the boxes of largest loss in an image, the first of equal ones.
  """
  negative = jnp.where(positive, -jnp.inf, jax.lax.stop_gradient(loss))
  rank = jnp.argsort(jnp.argsort(negative, -1, descending=True), -1)
  return (rank < ratio * positive.sum(-1, keepdims=True)) & ~positive


class SSD(nn.Module):
  """Images [B, H, W, C] -> logits [B, M, 1 + num_classes], offsets [B, M, 4], references [M, 4].

  Attributes:
    classifier: the network whose trunk's maps come first.
    taken: strides of those maps.
    extra: further maps, each made of the one before: channels of a 1x1 convolution, then channels,
      kernel size, strides and padding of a second convolution.
    scales: sides of the default boxes as fractions of the image's, for each map and one more; by
      default 0.1, then 0.2 to 0.9 in equal steps, and 1.05 (section 2.2).
    ratios: of their width to height, besides 1, for each map; by default (2, 3).
    steps: pixels of a cell of each map; by default the image divided by its cells.
    converted: whether VGG's fc6 and fc7 follow the trunk as convolutions, and its first map is
      normalised (section 3).
    overlap: with a true box, from which a default box is matched to it.
    negatives: number for each positive in the class loss.
    least: score that a detection must be above.
    suppression: overlap above which the worse of two detections of a class is dropped.
    candidates: how many default boxes of a class, the best, take part in decoding.
    places: largest number of detections of an image.
  """

  task = "detection"
  classifier: nn.Module
  taken: Sequence[int] = (8, 16)
  extra: Sequence[tuple[int, ...]] = EXTRA300
  scales: Sequence[float] = ()
  ratios: Sequence[Sequence[float]] = ()
  steps: Sequence[int] = ()
  converted: bool = False
  overlap: float = 0.5
  negatives: float = 3.0
  least: float = 0.01
  suppression: float = 0.45
  candidates: int = 400
  places: int = 200
  num_classes: int = 20
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET

  @nn.compact
  def __call__(self, x: Any, *, train: bool) -> dict[str, jax.Array]:
    image = x["image"] if isinstance(x, dict) else x
    maps = of_strides(self.classifier.make_trunk()(image, train=train), image, self.taken)
    options = dict(dtype=self.dtype, kernel_init=XAVIER)
    if self.converted:
      x = MaxPool(3, 1, 1, name="pool5")(maps[-1])
      x = nn.relu(Conv(1024, 3, padding=6, dilation=6, name="fc6", **options)(x))
      maps[-1] = nn.relu(Conv(1024, 1, name="fc7", **options)(x))
      maps[0] = L2Norm(20.0, dtype=self.dtype, name="norm4_3")(maps[0])
    for n, (between, features, window, strides, padding) in enumerate(self.extra, 1):
      x = nn.relu(Conv(between, 1, name=f"extra{n}_1", **options)(maps[-1]))
      x = Conv(features, window, strides, padding, name=f"extra{n}_2", **options)(x)
      maps.append(nn.relu(x))
    ratios, kinds = self._ratios(len(maps)), 1 + self.num_classes
    found = {"logits": (kinds, []), "offsets": (4, [])}
    for n, (x, ratio) in enumerate(zip(maps, ratios), 1):
      for name, (numbers, parts) in found.items():
        y = Conv((2 + 2 * len(ratio)) * numbers, 3, padding=1, name=f"{name}{n}", **options)(x)
        parts.append(wide(y).reshape(len(y), -1, numbers))
    cells = [x.shape[1:3] for x in maps]
    size = image.shape[1:3]
    references = default_boxes(cells, size, self._scales(len(maps)), ratios, self.steps or None)
    return {
      **{name: jnp.concatenate(parts, 1) for name, (_, parts) in found.items()},
      "references": jnp.asarray(references),
      "size": jnp.asarray(size),
    }

  @nn.nowrap
  def _ratios(self, maps: int) -> Sequence[Sequence[float]]:
    return self.ratios or ((2, 3),) * maps

  @nn.nowrap
  def _scales(self, maps: int) -> Sequence[float]:
    return self.scales or (0.1, *np.linspace(0.2, 0.9, maps - 1).tolist(), 1.05)

  @nn.nowrap
  def loss(
    self,
    outputs: dict[str, jax.Array],
    truth: dict[str, jax.Array],
    counts: Mapping[str, jax.Array] | None = None,
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Returns the loss of a batch over its number of positives, and its parts (equation 1)."""
    target = partial(encode, outputs["references"], overlap=self.overlap)
    valid = truth["valid"] * truth["mask"][:, None]
    kind, offsets = jax.vmap(target)(truth["boxes"], truth["labels"], valid)
    positive = kind > 0
    box = losses.smooth_l1(outputs["offsets"] - offsets).sum(-1)
    scores = jax.nn.log_softmax(outputs["logits"])
    each = -jnp.take_along_axis(scores, kind[..., None], -1)[..., 0]
    counted = positive | hardest(each, positive, self.negatives)
    count = positive.sum()
    parts = {
      "class_loss": (jnp.where(counted, each, 0).sum(), count),
      "box_loss": (jnp.where(positive, box, 0).sum(), count),
    }
    total = sum(part for part, _ in parts.values()), count
    return losses.total({"loss": total}, counts), {"loss": total, **parts}

  @nn.nowrap
  def decode(self, outputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns an image's detections, best first: boxes [B, K, 4], labels, scores, valid [B, K]."""
    boxes = ops.decode(outputs["offsets"], outputs["references"], WEIGHTS)
    scores = jax.nn.softmax(outputs["logits"])[..., 1:]
    rule = partial(
      detections,
      least=self.least,
      overlap=self.suppression,
      places=self.places,
      each=self.candidates,
    )
    return jax.vmap(rule)(ops.clip(boxes, outputs["size"]), scores)
