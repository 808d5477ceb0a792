"""R-CNN: a convolutional network looks at warped windows, and one SVM a class says what they are.

Girshick, Donahue, Darrell, Malik, "Rich feature hierarchies for accurate object detection and
semantic segmentation", arXiv:1311.2524. The module holds all that is learnt, one stage after the
other (`experiments/train_rcnn.py`): trunk and fully connected layers as a classifier of windows,
then `svm` and `regression`, which scikit-learn finds.
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
from cnnjax.ops.crop import crop
from cnnjax.ops.detections import detections
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

Arrays = dict[str, jax.Array]
WHOLE = Preprocessing(resize=(500, 500), mean=IMAGENET.mean, std=IMAGENET.std)


class Targets(NamedTuple):
  """What windows [R, 4] of an image are to the stages that follow the fine-tuning.

  Attributes:
    negative: [R, C] whether it teaches a class's SVM what the class is not.
    near: [R] whether regression learns from it.
    nearest: [R] the true box that it overlaps most.
    offsets: [R, 4] to that box.
  """

  negative: jax.Array
  near: jax.Array
  nearest: jax.Array
  offsets: jax.Array


def encode(
  windows: jax.Array,
  there: jax.Array,
  boxes: jax.Array,
  labels: jax.Array,
  valid: jax.Array,
  num_classes: int,
) -> Targets:
  """Returns what windows [R, 4], those there [R], are beside true boxes [P, 4] with labels [P].

  Negatives of a class's SVM overlap each of its boxes by less than 0.3 (its positives are the boxes
  themselves, section 2.3); regression learns from overlaps above 0.6 (appendix C). Boxes that are
  not valid [P] teach only what is no negative: difficult ones, and places without area, which
  overlap nothing.
  """
  overlap, there = geometry.iou(boxes, windows), there > 0
  known = jnp.where(valid[:, None] > 0, overlap, 0)
  nearest = known.argmax(0)
  of_class = labels[:, None] == jnp.arange(num_classes)
  most = jnp.where(of_class[:, None], overlap[:, :, None], 0).max(0)
  return Targets(
    negative=there[:, None] & (most < 0.3),
    near=there & (known.max(0) > 0.6),
    nearest=nearest,
    offsets=geometry.encode(boxes[nearest], windows),
  )


def decode(outputs: Arrays, places: int, suppression: float) -> Arrays:
  """Returns the boxes [B, K, 4] that stay, with labels, scores and valid [B, K], best first.

  Each window is moved as its class says, and goes where a better one of that class overlaps it by
  more than `suppression`. A score is the SVM's margin behind a sigmoid: the order is the margins',
  and 0.5 the border of the class.
  """
  moved = geometry.decode(outputs["offsets"], outputs["regions"][:, :, None])
  moved = geometry.clip(moved, outputs["extent"][:, None, None])
  scores = jnp.where(outputs["taken"][..., None], nn.sigmoid(outputs["scores"]), 0)
  rule = partial(detections, least=0, overlap=suppression, places=places, side=1)
  return jax.vmap(rule)(moved, scores)


def loss(outputs: Arrays, truth: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, Any]]:
  """Returns the mean cross-entropy of the regions that were drawn, and the sums to log."""
  kind, logits = outputs["kind"], outputs["logits"]
  weight = outputs["taken"] * truth["mask"][:, None]
  each = optax.softmax_cross_entropy_with_integer_labels(logits, kind)
  total, count = jnp.sum(each * weight), jnp.sum(weight)
  hits = jnp.sum((logits.argmax(-1) == kind) * weight)
  logs = {"loss": (total, count), "accuracy": (hits, count)}
  return total / jnp.maximum(count, 1), logs


def looked_at(x: Arrays, key: jax.Array | None, count: int, fraction: float) -> Arrays:
  """Returns the regions [B, K, 4] to look at, which are there (`taken`), and the images' extent.

  Without a key they are the proposals; with one they are drawn from them and the true boxes, with
  the `kind` [B, K] that each is, as Fast R-CNN draws them: K of each image, at most a fraction of
  them objects, and any other window is background (section 2.3).
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
  """Returns a trunk's map by its name. Raises: UserError with those that there are."""
  if layer not in maps:
    raise unknown("layer of the trunk", layer, maps)
  return maps[layer]


class Head(nn.Module):
  """Maps of windows [..., F] -> two layers, `features` [..., hidden], and what is said of them.

  `logits` [..., 1 + C] of the fine-tuning, background first; `scores` [..., C] of the SVMs; and
  `offsets` [..., C, 4], linear in the maps themselves (arXiv:1311.2524, appendix C).
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
    found = partial(Dense, kernel_init=nn.initializers.zeros)  # by scikit-learn, at full precision
    offsets = found(4 * self.num_classes, name="regression")(wide(pooled))
    return {
      "logits": wide(Dense(1 + self.num_classes, dtype=self.dtype, name="softmax")(x)),
      "scores": found(self.num_classes, name="svm")(wide(x)),
      "offsets": offsets.reshape(*offsets.shape[:-1], self.num_classes, 4),
      "features": wide(x),
      "pooled": wide(pooled),
    }


class RCNN(nn.Module):
  """Images [B, H, W, C] and proposals -> scores [B, R, C] and offsets [B, R, C, 4] of them.

  Attributes:
    classifier: the network whose trunk is taken.
    layer: the trunk's map that is read, averaged to at most `cells` a side.
    side: of a warped window, of which `context` pixels on each side show what is around it.
    hidden: width of the two layers behind the trunk.
    dropout: of these.
    count: of an image's regions, drawn in training; 4 images make the paper's 128.
    fraction: of objects among them, at most.
    crops: warped windows that are held at once; the others wait.
    places: most boxes to answer with.
    suppression: overlap from which two boxes of a class are one.
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
    found = looked_at(x, key, self.count, self.fraction)
    if train or self.is_initializing():
      return {**found, **self._each(self.describe, x["image"], found["regions"], train)}
    alone, variables = self.clone(parent=None), self.variables
    describe = partial(alone.apply, variables, method="describe")
    count = found["regions"].shape[1]
    part = max(1, min(count, self.crops // len(x["image"])))
    turns = -(-count // part)
    windows = jnp.pad(found["regions"], ((0, 0), (0, turns * part - count), (0, 0)))
    windows = windows.reshape(-1, turns, part, 4).swapaxes(0, 1)
    parts = lax.map(lambda w: self._each(describe, x["image"], w, False), windows)
    join = lambda v: v.swapaxes(0, 1).reshape(len(x["image"]), -1, *v.shape[3:])[:, :count]  # noqa: E731
    return {**found, **jax.tree.map(join, parts)}

  @nn.nowrap
  def _each(self, describe, image, windows, train):
    """Describes windows [B, R, 4] as one batch of crops."""
    seen = crop(image, windows, self.side, self.context)
    said = describe(seen.reshape(-1, *seen.shape[2:]), train=train)
    return jax.tree.map(lambda v: v.reshape(*windows.shape[:2], *v.shape[1:]), said)

  @nn.compact
  def describe(self, crops: jax.Array, *, train: bool) -> Arrays:
    """Returns what the network says of warped windows [N, side, side, C]."""
    maps = map_of(self.classifier.make_trunk()(crops, train=train), self.layer)
    cells = tuple(min(self.cells, n) for n in maps.shape[1:3])
    pooled = AdaptiveAvgPool(cells, name="pool")(maps)
    head = Head(self.num_classes, self.hidden, self.dropout, self.dtype, name="head")
    return head(pooled.reshape(len(pooled), math.prod(pooled.shape[1:])), train=train)

  @nn.nowrap
  def loss(self, outputs: Arrays, truth: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, Any]]:
    """The loss of the fine-tuning; see `loss`."""
    return loss(outputs, truth)

  @nn.nowrap
  def decode(self, outputs: Arrays) -> Arrays:
    """Returns the boxes found, best first; see `decode`."""
    return decode(outputs, self.places, self.suppression)
