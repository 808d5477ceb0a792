"""YOLO: each cell of a grid predicts the class and the box of the object centred in it.

Redmon et al., "You only look once: Unified, real-time object detection", arXiv:1506.02640.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.layers import Conv, ConvNorm, Dense, Flatten, MaxPool, check_size, wide
from cnnjax.ops import boxes as ops
from cnnjax.ops import losses
from cnnjax.ops.detections import detections
from cnnjax.ops.preprocess import Preprocessing

# Kernel size, channels and strides of the convolutions; "M" is 2x2 max pooling.
YOLO = (  # figure 3
  (7, 64, 2), "M",
  (3, 192, 1), "M",
  (1, 128, 1), (3, 256, 1), (1, 256, 1), (3, 512, 1), "M",
  *((1, 256, 1), (3, 512, 1)) * 4, (1, 512, 1), (3, 1024, 1), "M",
  *((1, 512, 1), (3, 1024, 1)) * 2, (3, 1024, 1), (3, 1024, 2),
  (3, 1024, 1), (3, 1024, 1),
)  # fmt: skip
FAST_YOLO = (  # the authors' yolo-tiny.cfg, for the paper only says that they are nine
  (3, 16, 1), "M",
  (3, 32, 1), "M",
  (3, 64, 1), "M",
  (3, 128, 1), "M",
  (3, 256, 1), "M",
  (3, 512, 1), "M",
  (3, 1024, 1), (3, 1024, 1), (3, 1024, 1),
)  # fmt: skip
DARKNET = Preprocessing((448, 448))  # pixels from 0 to 1
# By fan-in: by fan-out, activations would shrink where widths grow, without norms to correct it.
KAIMING_IN = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
SMALL_NORMAL = nn.initializers.normal(0.01)
leaky = partial(nn.leaky_relu, negative_slope=0.1)  # equation 2


def encode(
  boxes: jax.Array, labels: jax.Array, valid: jax.Array, grid: tuple[int, int], size: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns the targets of a grid's (rows, columns) cells for an image's boxes [N, 4].

  They are whether an object's centre is in the cell [rows, columns], its label, and its box
  [rows, columns, 4]: the centre in the cell, from 0 to 1, and the square roots of width and height
  as fractions of the image's, of (height, width) `size` (section 2). A cell has one object: of
  several the first listed. A centre on the border of two cells belongs to the later one.
  """
  cells, sides = _columns_first(grid), _columns_first(size)
  centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / sides * cells
  cell = jnp.clip(jnp.floor(centre), 0, cells - 1)
  roots = jnp.sqrt(jnp.maximum(boxes[:, 2:] - boxes[:, :2], 0) / sides)
  column, row = cell.astype(int).T
  number = jnp.where(valid > 0, jnp.arange(len(boxes)), len(boxes))
  first = jnp.full(grid, len(boxes)).at[row, column].min(number)
  there = first < len(boxes)
  index = jnp.where(there, first, 0)
  return there, labels[index], jnp.concatenate([centre - cell, roots], -1)[index]


def corners(parts: jax.Array, size: jax.Array) -> jax.Array:
  """Returns the boxes [..., rows, columns, N, 4] in pixels of targets or predictions of that shape.

  It is the inverse of `encode`; a root below 0 is squared too, as in the authors' program.
  """
  grid = parts.shape[-4:-2]
  cell = jnp.stack(jnp.meshgrid(*map(jnp.arange, grid[::-1])), -1)[:, :, None]
  sides = _columns_first(size)
  centre = (parts[..., :2] + cell) / _columns_first(grid) * sides
  half = parts[..., 2:] ** 2 * sides / 2
  return jnp.concatenate([centre - half, centre + half], -1)


def _columns_first(size):
  """Returns (rows, columns) or (height, width) in the order of x and y."""
  return jnp.asarray([size[1], size[0]], jnp.float32)


class Trunk(nn.Module):
  """Images -> stage1, stage2, ...: the maps before each pooling, and the last one."""

  table: Sequence[Any]
  norm: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size("yolo", x, 2 ** sum(row == "M" or row[2] == 2 for row in self.table))
    maps, number = {}, 0
    for row in self.table:
      if row == "M":
        maps[f"stage{len(maps) + 1}"] = x
        x = MaxPool(2, name=f"pool{len(maps)}")(x)
        continue
      number += 1
      window, features, strides = row
      options = dict(strides=strides, padding=window // 2, dtype=self.dtype, name=f"conv{number}")
      if self.norm:
        x = ConvNorm(features, window, activation=leaky, **options)(x, train=train)
      else:
        x = leaky(Conv(features, window, kernel_init=KAIMING_IN, **options)(x))
    return {**maps, f"stage{len(maps) + 1}": x}


class YOLOv1(nn.Module):
  """Images [B, H, W, C] -> boxes [B, S, T, N, 4], confidence [B, S, T, N], probabilities.

  The last are [B, S, T, num_classes]; S and T are the sides of the trunk's last map. All outputs
  are linear, and boxes have the form of `encode`.

  Attributes:
    table: of the network's own trunk.
    classifier: a network whose trunk replaces it; `table` and `norm` are then not used.
    hidden: widths of dense layers before the last, for images of one size; all but the last of them
      are linear, as in yolo-tiny.cfg. Without any, the head is a 1x1 convolution, for any size.
    norm: whether batch norm follows each convolution of its own trunk, as in the authors' later
      files. The paper has none, but begins with 20 convolutions pretrained on ImageNet.
    boxes: N, of a cell.
    dropout: after the hidden layers.
    coordinates: weight of the boxes' errors.
    background: weight of the confidence where there is no object.
    least: score that a detection must be above, the authors' for mAP.
    suppression: overlap above which the worse of two detections of a class is dropped, as theirs.
    places: largest number of detections of an image.
  """

  task = "detection"
  table: Sequence[Any] = YOLO
  classifier: nn.Module | None = None
  hidden: Sequence[int] = (4096,)
  norm: bool = False
  boxes: int = 2
  dropout: float = 0.5
  coordinates: float = 5.0
  background: float = 0.5
  least: float = 0.001
  suppression: float = 0.5
  places: int = 100
  num_classes: int = 20
  dtype: Any = jnp.float32
  preprocessing: Preprocessing = DARKNET

  @nn.compact
  def __call__(self, x: Any, *, train: bool) -> dict[str, jax.Array]:
    image = x["image"] if isinstance(x, dict) else x
    if self.classifier:
      trunk = self.classifier.make_trunk()
    else:
      trunk = Trunk(self.table, self.norm, self.dtype, name="trunk")
    *_, x = (m for m in trunk(image, train=train).values() if m.ndim == 4)
    grid, numbers = x.shape[1:3], 5 * self.boxes + self.num_classes
    options = dict(dtype=self.dtype, kernel_init=SMALL_NORMAL, name="answers")
    if self.hidden:
      x = Flatten(name="flatten")(x)
      self._check(x, image)
      for n, width in enumerate(self.hidden, 1):
        x = Dense(width, dtype=self.dtype, kernel_init=KAIMING_IN, name=f"fc{n}")(x)
      x = nn.Dropout(self.dropout, deterministic=not train)(leaky(x))
      x = Dense(math.prod(grid) * numbers, **options)(x).reshape(-1, *grid, numbers)
    else:
      x = Conv(numbers, 1, **options)(x)
    boxes, confidence, probabilities = jnp.split(wide(x), [4 * self.boxes, 5 * self.boxes], -1)
    return {
      "boxes": boxes.reshape(*boxes.shape[:3], self.boxes, 4),
      "confidence": confidence,
      "probabilities": probabilities,
      "size": jnp.asarray(image.shape[1:3]),
    }

  @nn.nowrap
  def _check(self, x: jax.Array, image: jax.Array) -> None:
    """Raises: UserError for images of another size than the dense layers were made for."""
    made = self.get_variable("params", "fc1", {"kernel": x.T})["kernel"]
    if len(made) != x.shape[1]:
      raise UserError(
        f"yolo's dense layers were made for a map of {len(made)} numbers, but images of "
        f"{image.shape[1]}x{image.shape[2]} give {x.shape[1]}; hidden=() takes images of any size"
      )

  @nn.nowrap
  def loss(
    self,
    outputs: dict[str, jax.Array],
    truth: dict[str, jax.Array],
    counts: Mapping[str, jax.Array] | None = None,
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Returns the mean loss of a batch's images, and its parts (equation 3).

    Of a cell's boxes the one that overlaps its object most is responsible for it; where none
    overlaps, the one of the least error. The target of its confidence is that overlap, through
    which no gradient passes.
    """
    size, mask = outputs["size"], truth["mask"]
    target = partial(encode, grid=outputs["boxes"].shape[1:3], size=size)
    there, labels, parts = jax.vmap(target)(
      truth["boxes"], truth["labels"], truth["valid"] * mask[:, None]
    )
    true = parts[..., None, :]
    overlap = ops.iou(corners(outputs["boxes"], size), corners(true, size))[..., 0]
    overlap = jax.lax.stop_gradient(overlap)
    error = jnp.square(outputs["boxes"] - true).sum(-1)
    best = jnp.where(overlap.max(-1) > 0, overlap.argmax(-1), error.argmin(-1))
    responsible = jax.nn.one_hot(best, self.boxes) * there[..., None]
    wrong = jnp.square(outputs["probabilities"] - jax.nn.one_hot(labels, self.num_classes)).sum(-1)
    confidence = outputs["confidence"]
    empty = (1 - responsible) * mask[:, None, None, None]
    sums = {
      "box_loss": self.coordinates * (error * responsible).sum(),
      "object_loss": (jnp.square(confidence - overlap) * responsible).sum(),
      "background_loss": self.background * (jnp.square(confidence) * empty).sum(),
      "class_loss": (wrong * there).sum(),
    }
    total = sum(sums.values()), mask.sum()
    logs = {"loss": total, **{name: (value, total[1]) for name, value in sums.items()}}
    return losses.total({"loss": total}, counts), logs

  @nn.nowrap
  def decode(self, outputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns an image's detections, best first: boxes [B, K, 4], labels, scores, valid [B, K].

    A score is confidence times probability (equation 1), each clipped to 0..1 first: they are
    linear, and the product of two below 0 would be above 0.
    """
    boxes = ops.clip(corners(outputs["boxes"], outputs["size"]), outputs["size"])
    confidence, probabilities = (
      jnp.clip(outputs[key], 0, 1) for key in ("confidence", "probabilities")
    )
    scores = confidence[..., None] * probabilities[..., None, :]
    rule = partial(detections, least=self.least, overlap=self.suppression, places=self.places)
    flat = boxes.reshape(len(boxes), -1, 4), scores.reshape(len(boxes), -1, self.num_classes)
    return jax.vmap(rule)(*flat)
