"""Fast R-CNN: one feature map an image, pooled in each proposal; classes and boxes learnt jointly.

Girshick, "Fast R-CNN", arXiv:1504.08083.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.layers import Dense, of_strides, wide
from cnnjax.ops import boxes as ops
from cnnjax.ops import losses
from cnnjax.ops.detections import detections
from cnnjax.ops.matching import BETWEEN, match, sample
from cnnjax.ops.preprocess import IMAGENET, Preprocessing
from cnnjax.ops.roi import roi_pool

WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the offsets, which then have a deviation of about 1
AT_600 = replace(IMAGENET, resize=600, crop=None, longest=1000, multiple=32)  # section 5
Arrays = dict[str, jax.Array]


def encode(
  key: jax.Array,
  proposals: jax.Array,
  proposed: jax.Array,
  boxes: jax.Array,
  labels: jax.Array,
  valid: jax.Array,
  *,
  count: int,
  fraction: float,
  overlap: float,
  least: float,
) -> Arrays:
  """Returns `count` regions of an image drawn for training, and their targets (section 2.3).

  Args:
    key: of the draw.
    proposals: [R, 4], to which the true boxes are added.
    proposed: [R], which of them are real.
    boxes: [N, 4], the true boxes.
    labels: [N] of them.
    valid: [N], which of them are real.
    count: of regions.
    fraction: largest share of objects among them; they come first.
    overlap: with a true box, from which a region is an object.
    least: overlap from which another region is background; one below is not drawn.

  Returns: regions [count, 4], taken bool [count] (which are real), kind [count] (0 for background,
    c + 1 for label c), target [count, 4] (offsets), object_index [count] (of the true box).
  """
  regions = jnp.concatenate([proposals, boxes])
  real = jnp.concatenate([proposed, valid]) > 0
  overlaps = ops.iou(boxes, regions)
  matches = match(overlaps, valid, overlap, overlap)
  most = jnp.where(valid[:, None] > 0, overlaps, 0).max(0, initial=0)
  matches = jnp.where(real & ((matches >= 0) | (most >= least)), matches, BETWEEN)
  index, taken, is_object = sample(key, matches, count, fraction)
  object_index = jnp.maximum(matches[index], 0)
  regions = regions[index]
  return {
    "regions": regions,
    "taken": taken,
    "kind": jnp.where(is_object, labels[object_index] + 1, 0),
    "target": ops.encode(boxes[object_index], regions, WEIGHTS),
    "object_index": object_index,
  }


def loss_of_regions(outputs: Arrays, beta: float) -> dict[str, tuple[jax.Array, jax.Array]]:
  """Returns (sum, count) of class and box losses over the regions drawn (equation 1)."""
  kind, count = outputs["kind"], outputs["taken"].sum()
  scores = jax.nn.log_softmax(outputs["logits"])
  each = -jnp.take_along_axis(scores, kind[..., None], -1)[..., 0]
  own = jnp.maximum(kind - 1, 0)[..., None, None]
  offsets = jnp.take_along_axis(outputs["offsets"], own, 2)[..., 0, :]
  box = losses.smooth_l1(offsets - outputs["target"], beta).sum(-1)
  return {
    "class_loss": (jnp.where(outputs["taken"], each, 0).sum(), count),
    "box_loss": (jnp.where(outputs["taken"] & (kind > 0), box, 0).sum(), count),
  }


def decode_regions(outputs: Arrays, *, least: float, overlap: float, places: int) -> Arrays:
  """Returns the detections [B, K] of regions with logits and offsets, as `detections` does."""
  boxes = ops.decode(outputs["offsets"], outputs["regions"][:, :, None], WEIGHTS)
  boxes = ops.clip(boxes, outputs["extent"][:, None, None])
  scores = jax.nn.softmax(outputs["logits"])[..., 1:]
  scores = jnp.where(outputs["taken"][..., None], scores, -jnp.inf)
  rule = partial(detections, least=least, overlap=overlap, places=places, side=0.01)
  return jax.vmap(rule)(boxes, scores)


def extent_of(x: dict[str, jax.Array]) -> jax.Array:
  """Returns the (height, width) [B, 2] of images without padding, by default the whole array's."""
  image = x["image"]
  whole = jnp.broadcast_to(jnp.asarray(image.shape[1:3], jnp.float32), (len(image), 2))
  return x.get("extent", whole)


def with_proposals(x: Any, initializing: bool) -> Arrays:
  """Returns a network's inputs; while it is initialised, the whole image is the only proposal."""
  x = x if isinstance(x, dict) else {"image": x}
  if "proposals" in x:
    return x
  if not initializing:
    raise UserError(
      "this network needs proposals beside its images; set data.proposals, as to "
      "{'source': 'selective_search'}"
    )
  count, height, width, _ = x["image"].shape
  whole = jnp.broadcast_to(jnp.asarray([0.0, 0.0, width, height]), (count, 1, 4))
  return {**x, "proposals": whole, "proposed": jnp.ones((count, 1))}


class BoxHead(nn.Module):
  """Features [B, K, h, w, C] of regions -> logits [B, K, 1 + num_classes], offsets [B, K, .., 4].

  Two hidden layers, then one layer for each output (figure 1); the background has no offsets.
  """

  num_classes: int
  hidden: int
  dropout: float
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> Arrays:
    x = x.reshape(*x.shape[:2], -1)
    for name in ("fc6", "fc7"):
      x = nn.relu(Dense(self.hidden, dtype=self.dtype, name=name)(x))
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    kinds, init = 1 + self.num_classes, nn.initializers.normal
    logits = Dense(kinds, dtype=self.dtype, kernel_init=init(0.01), name="logits")(x)
    offsets = Dense(4 * kinds, dtype=self.dtype, kernel_init=init(0.001), name="offsets")(x)
    offsets = wide(offsets).reshape(*x.shape[:2], kinds, 4)[:, :, 1:]
    return {"logits": wide(logits), "offsets": offsets}


class FastRCNN(nn.Module):
  """Images [B, H, W, C] and proposals -> logits [B, K, 1 + num_classes] and offsets of regions.

  Attributes:
    classifier: the network whose trunk's map is pooled.
    taken: stride of that map.
    size: sides that a region is pooled to, in cells.
    hidden: width of the two layers after the pooling.
    dropout: of these.
    count: number of regions of an image drawn in training.
    fraction: largest share of objects among them.
    overlap: with a true box, from which a region is an object.
    background: overlap from which another region may be drawn as background.
    beta: error above which the box loss is linear.
    least: score that a detection must be above.
    suppression: overlap above which the worse of two detections of a class is dropped.
    places: largest number of detections of an image.
  """

  task = "detection"
  classifier: nn.Module
  taken: int = 16
  size: int = 7
  hidden: int = 4096
  dropout: float = 0.5
  count: int = 64
  fraction: float = 0.25
  overlap: float = 0.5
  background: float = 0.1
  beta: float = 1.0
  least: float = 0.05
  suppression: float = 0.3
  places: int = 100
  num_classes: int = 20
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = IMAGENET

  @nn.compact
  def __call__(self, x: Any, *, train: bool) -> Arrays:
    x = with_proposals(x, self.is_initializing())
    image, extent = x["image"], extent_of(x)
    (maps,) = of_strides(self.classifier.make_trunk()(image, train=train), image, (self.taken,))
    outputs = {"regions": x["proposals"], "taken": x["proposed"] > 0, "extent": extent}
    if train:
      keys = jax.random.split(self.make_rng("sample"), len(image))
      options = dict(count=self.count, fraction=self.fraction)
      options |= dict(overlap=self.overlap, least=self.background)
      given = (x[k] for k in ("proposals", "proposed", "boxes", "labels", "valid"))
      outputs |= jax.vmap(partial(encode, **options))(keys, *given)
    size = (self.size, self.size)
    features = roi_pool(maps, outputs["regions"], size, 1 / self.taken)
    head = BoxHead(self.num_classes, self.hidden, self.dropout, self.dtype, name="head")
    return {**outputs, **head(features, train=train)}

  @nn.nowrap
  def loss(
    self, outputs: Arrays, truth: Arrays, counts: Mapping[str, jax.Array] | None = None
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Returns the mean loss of a batch's regions, and its parts."""
    del truth  # the targets are among the outputs
    parts = loss_of_regions(outputs, self.beta)
    total = losses.total(parts, counts)
    return total, {"loss": (total, 1.0), **parts}

  @nn.nowrap
  def decode(self, outputs: Arrays) -> Arrays:
    """Returns an image's detections, best first: boxes [B, K, 4], labels, scores, valid [B, K]."""
    return decode_regions(outputs, least=self.least, overlap=self.suppression, places=self.places)
