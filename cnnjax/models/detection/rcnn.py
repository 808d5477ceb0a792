"""R-CNN: a convolutional network looks at warped windows, and one SVM a class says what they are.

Girshick, Donahue, Darrell, Malik, "Rich feature hierarchies for accurate object detection and
semantic segmentation", arXiv:1311.2524. The module holds all that is learnt, one stage after the
other (`experiments/train_rcnn.py`): trunk and fully connected layers as a classifier of windows,
then `svm` and `regression`, which scikit-learn finds.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from cnnjax.errors import UserError
from cnnjax.layers import AdaptiveAvgPool, Dense, wide
from cnnjax.ops import boxes as geometry
from cnnjax.ops.crop import crop
from cnnjax.ops.detections import detections
from cnnjax.ops.matching import BETWEEN, match, sample
from cnnjax.ops.preprocess import IMAGENET, Preprocessing

Outputs = dict[str, jax.Array]
WHOLE = Preprocessing(resize=(500, 500), mean=IMAGENET.mean, std=IMAGENET.std)


class Targets(NamedTuple):
  """What windows [R, 4] of an image are to the stages of the training.

  Attributes:
    match: [R] the true box that fine-tuning takes it for, as of `ops.matching.match`.
    negative: [R, C] whether it teaches a class's SVM what the class is not.
    near: [R] whether regression learns from it.
    nearest: [R] the true box that it overlaps most.
    offsets: [R, 4] to that box.
  """

  match: jax.Array
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

  Objects of fine-tuning overlap a box by half or more (section 2.3); negatives of a class's SVM
  overlap each of its boxes by less than 0.3, and its positives are the boxes themselves; regression
  learns from overlaps above 0.6 (appendix C). Boxes that are not valid [P] teach only what is no
  negative: difficult ones, and places without area, which overlap nothing.
  """
  overlap, there = geometry.iou(boxes, windows), there > 0
  known = jnp.where(valid[:, None] > 0, overlap, 0)
  nearest = known.argmax(0)
  of_class = labels[:, None] == jnp.arange(num_classes)
  most = jnp.where(of_class[:, None], overlap[:, :, None], 0).max(0)
  return Targets(
    match=jnp.where(there, match(overlap, valid, 0.5, 0.5), BETWEEN),
    negative=there[:, None] & (most < 0.3),
    near=there & (known.max(0) > 0.6),
    nearest=nearest,
    offsets=geometry.encode(boxes[nearest], windows),
  )


def decode(outputs: Outputs, places: int, suppression: float) -> Outputs:
  """Returns the boxes [B, K, 4] that stay, with labels, scores and valid [B, K], best first.

  Each window is moved as its class says, and goes where a better one of that class overlaps it by
  more than `suppression`. A score is the SVM's margin behind a sigmoid: the order is the margins',
  and 0.5 the border of the class.
  """
  moved = geometry.decode(outputs["offsets"], outputs["windows"][:, :, None])
  moved = geometry.clip(moved, outputs["extent"][:, None, None])
  scores = jnp.where(outputs["there"][..., None] > 0, nn.sigmoid(outputs["scores"]), 0)
  rule = partial(detections, least=0, overlap=suppression, places=places, side=1)
  return jax.vmap(rule)(moved, scores)


def loss(outputs: Outputs, truth: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, Any]]:
  """Returns the mean cross-entropy of the windows that were sampled, and the sums to log."""
  target, logits = outputs["target"], outputs["logits"]
  weight = (target >= 0) * truth["mask"][:, None]
  each = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(target, 0))
  total, count = jnp.sum(each * weight), jnp.sum(weight)
  hits = jnp.sum((logits.argmax(-1) == target) * weight)
  logs = {"loss": (total, count), "accuracy": (hits, count)}
  return total / jnp.maximum(count, 1), logs


def given(x: Any, initializing: bool) -> dict[str, jax.Array]:
  """Returns what a network of proposals reads, with the `extent` [B, 2] of its images.

  Variables can be made with images [B, H, W, C] alone: then the window is the whole image.
  """
  if not isinstance(x, dict):
    x = {"image": x}
  image = x["image"]
  size = jnp.broadcast_to(jnp.asarray(image.shape[1:3], jnp.float32), (len(image), 2))
  if "proposals" not in x:
    if not initializing:
      raise UserError("this network needs proposals beside its images; set data.proposals")
    whole = jnp.concatenate([jnp.zeros_like(size), size[:, ::-1]], -1)
    x = {**x, "proposals": whole[:, None], "proposed": jnp.ones((len(image), 1))}
  return {"extent": size, **x}


def looked_at(
  x: dict[str, jax.Array], key: jax.Array | None, num_classes: int, count: int, objects: float
) -> Outputs:
  """Returns the windows [B, R, 4] to look at, which are there [B, R], and the images' extent.

  With a key these are `count` drawn from proposals and true boxes, at most a part of them objects,
  and their `target` [B, R]: 0 for background, 1 + the class, -1 for a place that is empty.
  """
  if key is None:
    return {"windows": x["proposals"], "there": x["proposed"], "extent": x["extent"]}

  def one(key, windows, there, boxes, labels, valid):
    windows, there = jnp.concatenate([windows, boxes]), jnp.concatenate([there, valid])
    found = encode(windows, there, boxes, labels, valid, num_classes).match
    index, taken, is_object = sample(key, found, count, objects)
    target = jnp.where(is_object, 1 + labels[jnp.maximum(found[index], 0)], 0)
    return windows[index], taken, jnp.where(taken, target, -1)

  columns = ("proposals", "proposed", "boxes", "labels", "valid")
  keys = jax.random.split(key, len(x["image"]))
  windows, there, target = jax.vmap(one)(keys, *(x[name] for name in columns))
  return {"windows": windows, "there": there, "target": target, "extent": x["extent"]}


class Head(nn.Module):
  """Maps of windows [..., F] -> two layers, `features` [..., width], and what is said of them.

  `logits` [..., 1 + C] of the fine-tuning, background first; `scores` [..., C] of the SVMs; and
  `offsets` [..., C, 4], linear in the maps themselves (arXiv:1311.2524, appendix C).
  """

  num_classes: int
  width: int
  dropout: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, pooled: jax.Array, *, train: bool) -> Outputs:
    x = pooled
    for name in ("fc6", "fc7"):
      x = nn.relu(Dense(self.width, dtype=self.dtype, name=name)(x))
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
  """Images [B, H, W, C] and windows [B, R, 4] -> scores [B, R, C] and offsets [B, R, C, 4].

  Attributes:
    classifier: the network whose trunk is taken.
    layer: the trunk's map that is read, averaged to at most `cells` a side.
    side: of a warped window, of which `context` pixels on each side show what is around it.
    width: of the fully connected layers.
    windows: of an image that a training step looks at, at most the part `objects` of them objects;
      the paper's 128 of which 32 are 4 images.
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
  width: int = 4096
  dropout: float = 0.5
  windows: int = 32
  objects: float = 0.25
  crops: int = 128
  places: int = 100
  suppression: float = 0.3
  num_classes: int = 20
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = WHOLE

  def __call__(self, x: Any, *, train: bool) -> Outputs:
    x = given(x, self.is_initializing())
    key = self.make_rng("sample") if train else None
    found = looked_at(x, key, self.num_classes, self.windows, self.objects)
    if train or self.is_initializing():
      return {**found, **self._each(self.describe, x["image"], found["windows"], train)}
    alone, variables = self.clone(parent=None), self.variables
    describe = partial(alone.apply, variables, method="describe")
    count = found["windows"].shape[1]
    part = max(1, min(count, self.crops // len(x["image"])))
    turns = -(-count // part)
    windows = jnp.pad(found["windows"], ((0, 0), (0, turns * part - count), (0, 0)))
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
  def describe(self, crops: jax.Array, *, train: bool) -> Outputs:
    """Returns what the network says of warped windows [N, side, side, C]."""
    maps = self.classifier.make_trunk()(crops, train=train)[self.layer]
    cells = tuple(min(self.cells, n) for n in maps.shape[1:3])
    pooled = AdaptiveAvgPool(cells, name="pool")(maps)
    head = Head(self.num_classes, self.width, self.dropout, self.dtype, name="head")
    return head(pooled.reshape(len(pooled), math.prod(pooled.shape[1:])), train=train)

  @nn.nowrap
  def loss(self, outputs: Outputs, truth: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, Any]]:
    """The loss of the fine-tuning; see `loss`."""
    return loss(outputs, truth)

  @nn.nowrap
  def decode(self, outputs: Outputs) -> Outputs:
    """Returns the boxes found, best first; see `decode`."""
    return decode(outputs, self.places, self.suppression)
