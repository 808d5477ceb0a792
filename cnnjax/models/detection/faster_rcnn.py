"""Faster R-CNN: the network makes its proposals itself.

Ren, He, Girshick, Sun, "Faster R-CNN: Towards real-time object detection with region proposal
networks", arXiv:1506.01497; on a feature pyramid: Lin et al., arXiv:1612.03144. Trained jointly, as
torchvision does: no gradient passes through the coordinates of proposals, and anchors that reach
out of the image are kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from cnnjax.layers import Conv, FeaturePyramid, of_strides, wide
from cnnjax.models.detection import fast_rcnn
from cnnjax.models.detection.fast_rcnn import Arrays, BoxHead, extent_of
from cnnjax.ops import boxes as ops
from cnnjax.ops import losses
from cnnjax.ops.anchors import anchors
from cnnjax.ops.matching import match, sample
from cnnjax.ops.nms import nms
from cnnjax.ops.preprocess import IMAGENET, Preprocessing
from cnnjax.ops.roi import roi_pool
from cnnjax.ops.roi_align import pyramid_levels, roi_align

BETA = 1 / 9  # error above which the box losses are linear
AT_800 = replace(  # as torchvision's are
  IMAGENET, resize=800, crop=None, longest=1333, multiple=32, interpolation="linear"
)
MIN_SIDE = 1e-3  # pixels; smaller proposals are dropped


def encode(
  key: jax.Array,
  references: jax.Array,
  boxes: jax.Array,
  valid: jax.Array,
  *,
  count: int,
  fraction: float,
  low: float,
  high: float,
) -> Arrays:
  """Returns `count` anchors of an image drawn for training, and their targets.

  Args:
    key: of the draw.
    references: the anchors [M, 4].
    boxes: [N, 4], the true boxes.
    valid: [N], which of them are real.
    count: of anchors drawn.
    fraction: largest share of objects among them.
    low: overlap below which an anchor is background.
    high: overlap from which it is an object, as the best one of a true box always is
      (section 3.1.2).

  Returns: index [count], sampled bool [count] (which are real), is_object bool [count], and
    anchor_target [count, 4] (offsets).
  """
  matches = match(ops.iou(boxes, references), valid, low, high, best=True)
  index, taken, is_object = sample(key, matches, count, fraction)
  target = ops.encode(boxes[jnp.maximum(matches[index], 0)], references[index])
  return {"index": index, "sampled": taken, "is_object": is_object, "anchor_target": target}


def propose(
  scores: Sequence[jax.Array],
  boxes: Sequence[jax.Array],
  extent: jax.Array,
  *,
  before: int,
  after: int,
  overlap: float,
) -> tuple[jax.Array, jax.Array]:
  """Returns an image's proposals [after, 4], best first, and which are real [after].

  Args:
    scores: [M] of each map.
    boxes: [M, 4] of each map.
    extent: (height, width) [2] of the image.
    before: how many boxes of a map, the best, take part.
    after: how many proposals to return.
    overlap: above which the worse of two boxes of one map is dropped.
  """
  best, clipped, level = [], [], []
  for n, (score, box) in enumerate(zip(scores, boxes)):
    score, index = lax.top_k(score, min(before, len(score)))
    best.append(score)
    clipped.append(ops.clip(box[index], extent))
    level.append(jnp.full(len(score), n))
  score, box, level = map(jnp.concatenate, (best, clipped, level))
  score = jnp.where(ops.large(box, MIN_SIDE), score, -jnp.inf)
  kept, real = nms(box, score, overlap, after, level)
  return jnp.where(real[:, None], box[kept], 0), real


class RPN(nn.Module):
  """Maps [B, H, W, C] -> objectness [B, M] and offsets [B, M, 4] of each map's anchors."""

  kinds: int  # anchors of a cell
  dtype: Any

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
    options = dict(dtype=self.dtype, kernel_init=nn.initializers.normal(0.01))
    shared = Conv(maps[0].shape[-1], 3, padding=1, name="conv", **options)
    heads = (Conv(n * self.kinds, 1, name=f"{k}", **options) for k, n in HEADS.items())
    objectness, offsets = heads
    hidden = [nn.relu(shared(x)) for x in maps]
    return (
      [wide(objectness(x)).reshape(len(x), -1) for x in hidden],
      [wide(offsets(x)).reshape(len(x), -1, 4) for x in hidden],
    )


HEADS = {"objectness": 1, "offsets": 4}  # channels of an anchor


class FasterRCNN(nn.Module):
  """Images [B, H, W, C] -> logits [B, K, 1 + num_classes] and offsets of regions, and the RPN's.

  Attributes:
    classifier: the network whose trunk's maps are used.
    taken: strides of these maps.
    pyramid: channels of a feature pyramid over them, which adds one map; 0 for none.
    sides: of each map's anchors, in pixels.
    ratios: of their height to width.
    size: sides that a region is pooled to: by RoI align on a pyramid, else RoI max pooling.
    hidden: width of the two layers after the pooling.
    dropout: of these.
    proposals: largest number of an image, in training and in evaluation.
    candidates: boxes of a map, the best, that they are chosen from, in training and in evaluation.
    sampled: number of anchors of an image drawn in training.
    count: number of regions of an image drawn in training.
    fraction: largest share of objects among them.
    least: score that a detection must be above.
    suppression: overlap above which the worse of two detections of a class is dropped.
    places: largest number of detections of an image.
  """

  task = "detection"
  classifier: nn.Module
  taken: Sequence[int] = (4, 8, 16, 32)
  pyramid: int = 256
  sides: Sequence[Sequence[float]] = ((32,), (64,), (128,), (256,), (512,))
  ratios: Sequence[float] = (0.5, 1.0, 2.0)
  size: int = 7
  hidden: int = 1024
  dropout: float = 0.0
  proposals: tuple[int, int] = (2000, 1000)
  candidates: tuple[int, int] = (2000, 1000)
  sampled: int = 256
  count: int = 512
  fraction: float = 0.25
  least: float = 0.05
  suppression: float = 0.5
  places: int = 100
  num_classes: int = 90
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET

  @nn.compact
  def __call__(self, x: Any, *, train: bool) -> Arrays:
    return self.detect(x if isinstance(x, dict) else {"image": x}, train)[0]

  @nn.nowrap
  def detect(self, x: dict[str, jax.Array], train: bool) -> tuple[Arrays, list[jax.Array]]:
    """Returns the outputs, and the maps that regions are pooled from."""
    image, extent = x["image"], extent_of(x)
    maps = of_strides(self.classifier.make_trunk()(image, train=train), image, self.taken)
    if self.pyramid:
      maps = FeaturePyramid(self.pyramid, dtype=self.dtype, name="pyramid")(maps)
    rpn = RPN(len(self.sides[0]) * len(self.ratios), self.dtype, name="rpn")
    objectness, offsets = rpn(maps)
    size = image.shape[1:3]
    references = [anchors(m.shape[1:3], size, a, self.ratios) for m, a in zip(maps, self.sides)]
    boxes = [ops.decode(o, jnp.asarray(r)) for o, r in zip(offsets, references)]
    rule = partial(
      propose,
      before=self.candidates[not train],
      after=self.proposals[not train],
      overlap=0.7,
    )
    regions, real = jax.vmap(rule)(*lax.stop_gradient((objectness, boxes)), extent)
    outputs = {"regions": regions, "taken": real, "extent": extent}
    if train:
      flat = (jnp.concatenate(parts, 1) for parts in (objectness, offsets))
      outputs |= self._training_samples(x, outputs, *flat, jnp.concatenate(references))
    if self.pyramid:
      maps = maps[:-1]  # the last is for anchors alone
    features = self.read(maps, outputs["regions"], self.size)
    head = BoxHead(self.num_classes, self.hidden, self.dropout, self.dtype, name="head")
    return {**outputs, **head(features, train=train)}, maps

  @nn.nowrap
  def _training_samples(self, x, outputs, objectness, offsets, references):
    """Returns anchors and regions drawn for training, with their targets."""
    keys = jax.random.split(self.make_rng("sample"), (2, len(objectness)))
    options = dict(count=self.sampled, fraction=0.5, low=0.3, high=0.7)
    first = jax.vmap(partial(encode, **options), (0, None, 0, 0))(
      keys[0], references, x["boxes"], x["valid"]
    )
    index = first.pop("index")
    first["objectness"] = jnp.take_along_axis(objectness, index, 1)
    first["anchor_offsets"] = jnp.take_along_axis(offsets, index[..., None], 1)
    options = dict(count=self.count, fraction=self.fraction, overlap=0.5, least=0.0)
    given = (outputs["regions"], outputs["taken"], x["boxes"], x["labels"], x["valid"])
    return first | jax.vmap(partial(fast_rcnn.encode, **options))(keys[1], *given)

  @nn.nowrap
  def read(self, maps: Sequence[jax.Array], regions: jax.Array, size: int) -> jax.Array:
    """Returns features [B, K, size, size, C] of regions [B, K, 4] in pixels."""
    if not self.pyramid:
      return roi_pool(maps[0], regions, (size, size), 1 / self.taken[0])
    first = self.taken[0].bit_length() - 1
    levels = pyramid_levels(regions, first, first + len(maps) - 1)
    return roi_align(maps, regions, (size, size), [1 / s for s in self.taken], levels=levels)

  @nn.nowrap
  def loss(
    self, outputs: Arrays, truth: Arrays, counts: Mapping[str, jax.Array] | None = None
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Returns the sum of four losses, and each (equation 1, for anchors and for regions)."""
    del truth  # the targets are among the outputs
    count = outputs["sampled"].sum()
    each = optax.sigmoid_binary_cross_entropy(outputs["objectness"], outputs["is_object"])
    box = losses.smooth_l1(outputs["anchor_offsets"] - outputs["anchor_target"], BETA).sum(-1)
    parts = {
      "objectness_loss": (jnp.where(outputs["sampled"], each, 0).sum(), count),
      "anchor_loss": (jnp.where(outputs["is_object"], box, 0).sum(), count),
      **fast_rcnn.loss_of_regions(outputs, BETA),
    }
    total = losses.total(parts, counts)
    return total, {"loss": (total, 1.0), **parts}

  @nn.nowrap
  def decode(self, outputs: Arrays) -> Arrays:
    """Returns an image's detections, best first: boxes [B, K, 4], labels, scores, valid [B, K]."""
    rule = dict(least=self.least, overlap=self.suppression, places=self.places)
    return fast_rcnn.decode_regions(outputs, **rule)
