"""Scenes drawn by the course's statistical model: a Poisson number of real digits, and noise.

X = X_1(u_1) + ... + X_J(u_J) + e with J ~ Poisson: u_j is the class, position, size and brightness
of object j, + draws the later object over the earlier one, and e is the noise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from cnnjax.data import digits, idx
from cnnjax.data.boxes import check_resize
from cnnjax.data.masks import bounds
from cnnjax.data.places import pack
from cnnjax.data.stream import check_memory
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing

SIZE = (128, 128)  # (height, width) where the config has no data.resize
TRIES = 20  # positions to try for an object; where none is free enough it is left out
INK = 0.35  # pixels of at least this part of a digit's brightest pixel belong to its stroke
TEXTURE = 0.1  # standard deviation of the background's slow changes, for pixels from 0 to 1
LEAST = 4  # pixels of an object's longer side


class Law(NamedTuple):
  """The parameters of scenes: size (height, width), 1 or 3 channels, and those of `load`."""

  size: tuple[int, int]
  channels: int
  rate: float
  scale: tuple[float, float]
  noise: float
  overlap: float


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  examples: int = 2500,
  classes: int = 10,
  rate: float = 4.0,
  scale: Sequence[float] = (0.15, 0.4),
  noise: float = 0.05,
  overlap: float = 0.2,
  masks: bool = False,
  places: int = 0,
  test: float = 0.2,
) -> dict[str, Table]:
  """Returns scenes of digits: image, size, boxes, labels and valid, as `boxes.tables` does.

  A box (x0, y0, x1, y1) encloses the visible part of its object, which is half of it or more. No
  image of a digit is used in both splits.

  Args:
    root: a folder with MNIST's four IDX files; "" for scikit-learn's digits.
    seed: of all random draws.
    to: the run's preprocessing: scenes have its size, by default 128x128, and its channels, 1 for
      grey, which is the default, or 3 for colour.
    examples: number of scenes in both splits together.
    classes: number of digits, from 0 on.
    rate: mean number of objects that are drawn; those without a free position are left out.
    scale: least and largest longer side of an object, as a part of the image's shorter side.
    noise: standard deviation of the noise, for pixels from 0 to 1.
    overlap: largest IoU of an object's whole box with the whole box of an earlier object.
    masks: whether to return `ids` uint16 [N, H, W]: k + 1 where the object with index k is visible.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    test: the part that becomes the test split.

  Raises: UserError for an argument out of its bounds, more objects in a scene than `places`, and
    any error of `idx.load`.
  """
  check_resize(to)
  law = Law(to.resize or SIZE, to.channels or 1, rate, scale, noise, overlap)
  source = idx.load(root, seed) if root else digits.load(root, seed)
  _check(law, examples, classes, test, len(source["train"].classes))
  shape = (examples, *law.size, law.channels)
  check_memory("scenes", shape, "set data.arguments.examples to fewer")
  count = round(test * examples)
  images, rows, maps = [], [], []
  for part, (split, many) in enumerate({"train": examples - count, "test": count}.items()):
    drawn, label = source[split].columns["image"][..., 0], source[split].columns["label"]
    own = (label < classes) & drawn.any((1, 2))  # a blank image would have no box
    if not own.any():
      raise UserError(f"{root} has no image of its first {classes} classes to draw in {split}")
    drawn, label = drawn[own], label[own]
    for n in range(many):
      rng = np.random.default_rng([seed, 0x5CE4E, part, n])
      image, ids, labels = scene(rng, law, drawn, label)
      images.append(image)
      rows.append({"boxes": bounds(ids), "labels": labels})
      if masks:
        maps.append(ids)
  columns = {"image": np.stack(images), "size": np.tile(np.int32(law.size), (examples, 1))}
  columns |= pack(rows, places, lambda n: f"scene {n}")
  if masks:
    columns["ids"] = np.stack(maps)
  whole = Table(columns, source["train"].classes[:classes])
  train, test = np.split(np.arange(examples), [examples - count])
  return {"train": whole.take(train), "test": whole.take(test)}


def scene(
  rng: np.random.Generator, law: Law, images: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns image uint8 [H, W, C], ids uint16 [H, W] of visible pixels, and labels int32 [K].

  Args:
    rng: of the random draws.
    law: the parameters of the scene.
    images: of objects, uint8 [N, h, w], light on black.
    label: [N] of them.
  """
  level = rng.uniform(0, 1, law.channels).astype(np.float32)
  image = level + _texture(rng, law)
  ids, labels, boxes = np.zeros(law.size, np.uint16), [], []
  whole = seen = np.zeros(1, int)  # pixels of each object; the first entry is the background's
  for _ in range(rng.poisson(law.rate)):
    chosen = rng.integers(len(images))
    side = rng.uniform(*law.scale) * min(law.size)
    cover = _grown(images[chosen], side)[: law.size[0], : law.size[1]]
    solid, (height, width) = cover >= 0.5, cover.shape
    colour = (level + rng.uniform(0.25, 0.75, law.channels)) % 1  # 0.25 or more from `level`
    for y, x in rng.integers(0, np.subtract(law.size, cover.shape) + 1, (TRIES, 2)).tolist():
      at, box = np.s_[y : y + height, x : x + width], (x, y, x + width, y + height)
      left = seen - np.bincount(ids[at][solid], minlength=len(seen))
      if (2 * left >= whole)[1:].all() and all(_iou(box, b) <= law.overlap for b in boxes):
        image[at] += cover[..., None] * (colour.astype(np.float32) - image[at])
        labels.append(label[chosen])
        boxes.append(box)
        ids[at][solid] = len(labels)
        whole, seen = (np.append(counts, solid.sum()) for counts in (whole, left))
        break
  image += np.float32(law.noise) * rng.standard_normal(image.shape, np.float32)
  pixels = np.clip(255 * image + 0.5, 0, 255).astype(np.uint8)
  return pixels, ids, np.asarray(labels, np.int32)


def _texture(rng: np.random.Generator, law: Law) -> np.ndarray:
  """Returns a smooth texture float32 [H, W, C] about 0: a coarse grid of noise, interpolated."""
  coarse = rng.normal(0, TEXTURE, (law.channels, 6, 6)).astype(np.float32)
  return np.stack([_resized(band, law.size) for band in coarse], -1)


def _grown(image: np.ndarray, side: float) -> np.ndarray:
  """Returns an object's opacity [h, w], 0 to 1, resized so that its longer side is about `side`."""
  stroke = _trimmed(image, INK * image.max())
  height, width = stroke.shape
  padded = np.zeros((height + 2, width + 2), np.float32)  # so that the stroke's edge is smooth
  padded[1:-1, 1:-1] = stroke / image.max()
  factor = side / max(height, width)
  grown = _resized(padded, tuple(max(1, round(factor * s)) for s in padded.shape))
  grown = grown / grown.max()  # the maximum is below 1 where a thin stroke was made smaller
  return _trimmed(np.clip(0.5 + 4 * (grown - INK), 0, 1), 0.5)


def _trimmed(image: np.ndarray, least: float) -> np.ndarray:
  """Returns the smallest crop of an image [h, w] with all its pixels of `least` or more."""
  there = image >= least
  rows, columns = (np.flatnonzero(there.any(axis)) for axis in (1, 0))
  return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC))


def _iou(one: Sequence[int], other: Sequence[int]) -> float:
  """Returns the IoU of two boxes with an area; for two boxes this is faster than NumPy."""
  across = min(one[2], other[2]) - max(one[0], other[0])
  down = min(one[3], other[3]) - max(one[1], other[1])
  shared = max(across, 0) * max(down, 0)
  areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
  return shared / (sum(areas) - shared)


def _check(law: Law, examples: int, classes: int, test: float, most: int) -> None:
  """Raises: UserError for an argument out of its bounds."""

  def within(value, low, high, kind=(int, float)):
    return isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high

  pair = isinstance(law.scale, list | tuple) and len(law.scale) == 2
  pair = pair and all(within(s, 0, 1) for s in law.scale) and law.scale[0] <= law.scale[1]
  for name, value, fits, wanted in (
    ("examples", examples, within(examples, 1, 2**31, int), "a whole number of at least 1"),
    ("classes", classes, within(classes, 1, most, int), f"from 1 to {most}, as there are"),
    ("rate", law.rate, within(law.rate, 0, 10**4), "a number of objects, from 0 to 10,000"),
    ("scale", law.scale, pair, "(least, largest), from 0 to 1"),
    ("noise", law.noise, within(law.noise, 0, 10), "from 0 to 10"),
    ("overlap", law.overlap, within(law.overlap, 0, 1), "from 0 to 1"),
    ("test", test, within(test, 0, 1), "a part, from 0 to 1"),
  ):
    if not fits:
      raise UserError(f"data.arguments.{name} must be {wanted}; found {value!r}")
  if law.channels not in (1, 3):
    raise UserError(f"scenes are of 1 channel or 3; found data.channels {law.channels}")
  least = law.scale[0] * min(law.size)
  if least < LEAST:
    raise UserError(
      f"data.arguments.scale {law.scale} makes objects of {least:.3g} pixels in images of "
      f"{law.size[0]}x{law.size[1]}; expected {LEAST} or more"
    )
