"""R-CNN: features of warped windows from a convolutional network, classified by one SVM a class.

Girshick, Donahue, Darrell, Malik, "Rich feature hierarchies for accurate object detection and
semantic segmentation", arXiv:1311.2524. The module holds the parameters of all stages of training
(`experiments/train_rcnn.py`): trunk and dense layers are trained as a classifier of windows, then
scikit-learn fits `svm` and `regression`.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from cnnjax.errors import unknown
from cnnjax.layers import AdaptiveAvgPool, Dense, wide
from cnnjax.models.detection import fast_rcnn
from cnnjax.ops import boxes as geometry
from cnnjax.ops import losses
from cnnjax.ops.crop import crop
from cnnjax.ops.detections import detections
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

Arrays = dict[str, jax.Array]
WHOLE = Preprocessing(resize=(500, 500), mean=IMAGENET.mean, std=IMAGENET.std)


class Targets(NamedTuple):
  """What the stages after the fine-tuning learn from windows [R, 4] of an image.

  Attributes:
    negative: [R, C] whether a window is a negative example of a class's SVM.
    near: [R] whether regression learns from it.
    nearest: [R] index of the true box that it overlaps most.
    offsets: [R, 4] to that box.
  """

  negative: jax.Array
  near: jax.Array
  nearest: jax.Array
  offsets: jax.Array


def encode(
  windows: jax.Array,
  real: jax.Array,
  boxes: jax.Array,
  labels: jax.Array,
  valid: jax.Array,
  num_classes: int,
) -> Targets:
  """Returns the targets of windows [R, 4], of which some are real [R], for true boxes [P, 4].

  Negatives of a class's SVM overlap each box with its label [P] by less than 0.3 (its positives are
  the boxes themselves, section 2.3); regression learns from overlaps above 0.6 (appendix C).
  Boxes that are not valid [P] are only excluded from the negatives: difficult ones, and padding,
  which overlaps nothing.
  """
  overlap, real = geometry.iou(boxes, windows), real > 0
  known = jnp.where(valid[:, None] > 0, overlap, 0)
  nearest = known.argmax(0)
  of_class = labels[:, None] == jnp.arange(num_classes)
  most = jnp.where(of_class[:, None], overlap[:, :, None], 0).max(0)
  return Targets(
    negative=real[:, None] & (most < 0.3),
    near=real & (known.max(0) > 0.6),
    nearest=nearest,
    offsets=geometry.encode(boxes[nearest], windows),
  )


def decode(outputs: Arrays, places: int, suppression: float) -> Arrays:
  """Returns the detected boxes [B, K, 4], with labels, scores and valid [B, K], best first.

  Each window is moved by its class's offsets, and dropped where a better one of that class overlaps
  it by more than `suppression`. A score is the sigmoid of the SVM's margin, 0.5 at margin 0.
  """
  moved = geometry.decode(outputs["offsets"], outputs["regions"][:, :, None])
  moved = geometry.clip(moved, outputs["extent"][:, None, None])
  scores = jnp.where(outputs["taken"][..., None], nn.sigmoid(outputs["scores"]), 0)
  rule = partial(detections, least=0, overlap=suppression, places=places, side=1)
  return jax.vmap(rule)(moved, scores)


def loss(
  outputs: Arrays, truth: dict[str, jax.Array], counts: Mapping[str, jax.Array] | None = None
) -> tuple[jax.Array, dict[str, Any]]:
  """Returns the mean cross-entropy of the regions that were drawn, and the sums to log."""
  kind, logits = outputs["kind"], outputs["logits"]
  weight = outputs["taken"] * truth["mask"][:, None]
  each = optax.softmax_cross_entropy_with_integer_labels(logits, kind)
  total, count = jnp.sum(each * weight), jnp.sum(weight)
  hits = jnp.sum((logits.argmax(-1) == kind) * weight)
  logs = {"loss": (total, count), "accuracy": (hits, count)}
  return losses.total({"loss": logs["loss"]}, counts), logs


def regions_of(x: Arrays, key: jax.Array | None, count: int, fraction: float) -> Arrays:
  """Returns regions [B, K, 4] to evaluate, which are real (`taken`), and the images' `extent`.

  Without a key they are the proposals. With one they are drawn from these and the true boxes by
  `fast_rcnn.encode`, with the `kind` [B, K] of each: K of each image, at most a fraction of them
  objects, and all other windows are background (section 2.3).
  """
  if key is None:
    found = {"regions": x["proposals"], "taken": x["proposed"] > 0}
  else:
    options = dict(count=count, fraction=fraction, overlap=0.5, least=0.0)
    columns = (x[name] for name in ("proposals", "proposed", "boxes", "labels", "valid"))
    keys = jax.random.split(key, len(x["image"]))
    found = jax.vmap(partial(fast_rcnn.encode, **options))(keys, *columns)
  return {**found, "extent": fast_rcnn.extent_of(x)}


def map_of(maps: Mapping[str, jax.Array], layer: str) -> jax.Array:
  """Returns a trunk's map by its name. Raises: UserError with the names of all."""
  if layer not in maps:
    raise unknown("layer of the trunk", layer, maps)
  return maps[layer]


class Head(nn.Module):
  """Pooled maps of windows [..., F] -> `features` [..., hidden] by two layers, and predictions.

  Those are `logits` [..., 1 + C] of the fine-tuning, background first; `scores` [..., C] of the
  SVMs; and `offsets` [..., C, 4], linear in the maps themselves (arXiv:1311.2524, appendix C).
  """

  num_classes: int
  hidden: int
  dropout: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, pooled: jax.Array, *, train: bool) -> Arrays:
    x = pooled
    for name in ("fc6", "fc7"):
      x = nn.relu(Dense(self.hidden, dtype=self.dtype, name=name)(x))
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    fitted = partial(Dense, kernel_init=nn.initializers.zeros)  # by scikit-learn, in float32
    offsets = fitted(4 * self.num_classes, name="regression")(wide(pooled))
    return {
      "logits": wide(Dense(1 + self.num_classes, dtype=self.dtype, name="softmax")(x)),
      "scores": fitted(self.num_classes, name="svm")(wide(x)),
      "offsets": offsets.reshape(*offsets.shape[:-1], self.num_classes, 4),
      "features": wide(x),
      "pooled": wide(pooled),
    }


class RCNN(nn.Module):
  """Images [B, H, W, C] and proposals -> scores [B, R, C] and offsets [B, R, C, 4] of them.

  Attributes:
    classifier: the network whose trunk is taken.
    layer: the trunk's map that is used, averaged to at most `cells` a side.
    side: of a warped window, of which `context` pixels on each side show what is around it.
    hidden: width of the two layers after the trunk.
    dropout: of these.
    count: number of regions of an image drawn in training; 4 images make the paper's 128.
    fraction: largest share of objects among them.
    crops: how many warped windows are computed at once.
    places: largest number of detections of an image.
    suppression: overlap above which the worse of two detections of a class is dropped.
  """

  task = "detection"
  classifier: nn.Module
  layer: str = "pool5"
  cells: int = 6
  side: int = 227
  context: int = 16
  hidden: int = 4096
  dropout: float = 0.5
  count: int = 32
  fraction: float = 0.25
  crops: int = 128
  places: int = 100
  suppression: float = 0.3
  num_classes: int = 20
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = WHOLE

  def __call__(self, x: Any, *, train: bool) -> Arrays:
    x = fast_rcnn.with_proposals(x, self.is_initializing())
    key = self.make_rng("sample") if train else None
    found = regions_of(x, key, self.count, self.fraction)
    if train or self.is_initializing():
      return {**found, **self._describe_windows(self.describe, x["image"], found["regions"], train)}
    alone, variables = self.clone(parent=None), self.variables
    describe = partial(alone.apply, variables, method="describe")
    count = found["regions"].shape[1]
    part = max(1, min(count, self.crops // len(x["image"])))
    turns = -(-count // part)
    windows = jnp.pad(found["regions"], ((0, 0), (0, turns * part - count), (0, 0)))
    windows = windows.reshape(-1, turns, part, 4).swapaxes(0, 1)
    parts = lax.map(lambda w: self._describe_windows(describe, x["image"], w, False), windows)
    join = lambda v: v.swapaxes(0, 1).reshape(len(x["image"]), -1, *v.shape[3:])[:, :count]  # noqa: E731
    return {**found, **jax.tree.map(join, parts)}

  @nn.nowrap
  def _describe_windows(self, describe, image, windows, train):
    """Returns the network's outputs for windows [B, R, 4], computed as one batch of crops."""
    crops = crop(image, windows, self.side, self.context)
    outputs = describe(crops.reshape(-1, *crops.shape[2:]), train=train)
    return jax.tree.map(lambda v: v.reshape(*windows.shape[:2], *v.shape[1:]), outputs)

  @nn.compact
  def describe(self, crops: jax.Array, *, train: bool) -> Arrays:
    """Returns the network's outputs for warped windows [N, side, side, C]."""
    maps = map_of(self.classifier.make_trunk()(crops, train=train), self.layer)
    cells = tuple(min(self.cells, n) for n in maps.shape[1:3])
    pooled = AdaptiveAvgPool(cells, name="pool")(maps)
    head = Head(self.num_classes, self.hidden, self.dropout, self.dtype, name="head")
    return head(pooled.reshape(len(pooled), math.prod(pooled.shape[1:])), train=train)

  @nn.nowrap
  def loss(
    self,
    outputs: Arrays,
    truth: dict[str, jax.Array],
    counts: Mapping[str, jax.Array] | None = None,
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Returns the loss of the fine-tuning and the sums to log."""
    return loss(outputs, truth, counts)

  @nn.nowrap
  def decode(self, outputs: Arrays) -> Arrays:
    """Returns an image's detections, best first: boxes [B, K, 4], labels, scores, valid [B, K]."""
    return decode(outputs, self.places, self.suppression)
