"""Images with boxes, as annotated in files, brought to tables with a fixed number of places."""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data.files import read_all
from cnnjax.data.labels import listed
from cnnjax.data.split import with_test
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown
from cnnjax.ops.preprocess import Preprocessing


class Box(NamedTuple):
  """One object: (x0, y0, x1, y1), its class, whether it is special, and its mask if there is one.

  `mask` is a function of the image's (height, width) that returns bool [H, W].
  """

  corners: tuple[float, float, float, float]
  name: str
  flag: bool = False
  mask: Callable[[int, int], np.ndarray] | None = None


class Example(NamedTuple):
  """One image with what its annotation says: `size` (height, width), and where that stands.

  Without a size the boxes are parts of the image, from 0 to 1.
  """

  path: Path
  boxes: Sequence[Box]
  size: tuple[int, int] | None
  where: str


def tables(
  root: Path,
  splits: Mapping[str, Sequence[Example]],
  seed: int,
  *,
  to: Preprocessing,
  flag: str,
  classes: Sequence[str],
  places: int,
  test: float,
  on_error: str,
  masks: bool = False,
) -> dict[str, Table]:
  """Returns a table for each split, with the test split made where there is none.

  Its columns are image uint8 [N, H, W, C], size [N, 2] (height and width as read), boxes float32
  [N, P, 4] in pixels of `image`, labels int32 [N, P], valid and `flag` float32 [N, P], and with
  `masks` instances bool [N, P, H, W].

  Args:
    root: the folder that every image lies in, once links are followed.
    splits: examples by split.
    seed: of the test split.
    to: the run's preprocessing; it resizes to (height, width) or not at all, and does not crop.
    flag: the column's name of what makes a box special, as "difficult" or "crowd".
    classes: names in order; by default those of train, sorted.
    places: P; 0 for as many as the fullest image has boxes.
    test: the part that becomes the test split.
    on_error: "raise", or "skip" to leave out, and count, the images that cannot be read.
    masks: whether to draw them.

  A box is cut off at its image. What has no area then, or had none before, is left out, and counted
  on standard error. An image without boxes stays: it is background.

  Raises: UserError for a class that is not listed, a size that is not the image's, more boxes than
    places, and whatever `read_all` finds wrong.
  """
  if to.crop or isinstance(to.resize, int):
    raise UserError(
      "boxes move with a resize alone: set data.resize to (height, width), and data.crop to ()"
    )
  names = listed(classes) or tuple(sorted({b.name for e in splits["train"] for b in e.boxes}))
  if not names:
    raise UserError(f"no image of the train split of {root} has a box")
  every = list(chain.from_iterable(splits.values()))
  _check_classes(every, names)
  image, good, sizes = read_all(root, [e.path for e in every], to, on_error)
  kept = [example for example, g in zip(every, good) if g]
  _check_sizes(kept, sizes)
  columns = {"image": image, "size": sizes}
  columns |= _columns(kept, names, places, sizes, image.shape[1:3], flag, masks)
  whole = Table(columns, names)
  ends = np.cumsum([0, *(good[part].sum() for part in _spans(splits))])
  parts = {s: whole.take(np.arange(*ends[n : n + 2])) for n, s in enumerate(splits)}
  return with_test(parts, test, seed)


def _spans(splits):
  ends = np.cumsum([0, *map(len, splits.values())])
  return [slice(*ends[n : n + 2]) for n in range(len(splits))]


def _columns(
  examples: list[Example],
  names: tuple[str, ...],
  places: int,
  sizes: np.ndarray,
  target: tuple[int, int],
  flag: str,
  masks: bool,
) -> dict[str, Any]:
  """Returns the columns of boxes, and draws masks, at the target's (height, width)."""
  number = {name: label for label, name in enumerate(names)}
  cut = [_cut(example, size, target) for example, size in zip(examples, sizes)]
  lost = [(e, len(e.boxes) - len(c)) for e, c in zip(examples, cut) if len(c) < len(e.boxes)]
  if lost:
    count, first = sum(n for _, n in lost), lost[0][0].where
    print(f"left out {count} boxes of no area, the first in {first}", file=sys.stderr, flush=True)
  most = max(map(len, cut), default=0)
  if places and most > places:
    where = next(e.where for e, c in zip(examples, cut) if len(c) == most)
    raise UserError(f"{where} has {most} boxes; set data.arguments.places to {most} or more")
  shape = (len(examples), places or max(most, 1))
  found = {
    "boxes": np.zeros((*shape, 4), np.float32),
    "labels": np.zeros(shape, np.int32),
    "valid": np.zeros(shape, np.float32),
    flag: np.zeros(shape, np.float32),
  }
  if masks:
    found["instances"] = np.zeros((*shape, *target), bool)
  for n, (boxes, size) in enumerate(zip(cut, sizes)):
    for place, (corners, box) in enumerate(boxes):
      values = (corners, number[box.name], 1, box.flag)
      for column, value in zip(found.values(), values):
        column[n, place] = value
      if masks and box.mask is not None:
        found["instances"][n, place] = _shrink(box.mask(*size.tolist()), target)
  return found


def _cut(example: Example, size: np.ndarray, target: tuple[int, int]) -> list[tuple[Any, Box]]:
  """Returns the corners [4] of each box of some area, in pixels of the target, with the box."""
  height, width = size.tolist()
  scale = np.asarray([target[1] / width, target[0] / height] * 2)
  unit = np.asarray([width, height] * 2 if example.size is None else [1, 1, 1, 1])
  found = []
  for box in example.boxes:
    low_x, low_y, high_x, high_y = np.asarray(box.corners, np.float64) * unit
    corners = np.clip([low_x, low_y, high_x, high_y], 0, [width, height] * 2)
    if corners[2] > corners[0] and corners[3] > corners[1]:
      found.append((corners * scale, box))
  return found


def _shrink(mask: np.ndarray, target: tuple[int, int]) -> np.ndarray:
  """Returns a mask [H, W] at another size, each pixel that of the place of its centre."""
  rows, columns = (
    ((np.arange(t) + 0.5) * n / t).astype(int) for t, n in zip(target, mask.shape, strict=True)
  )
  return mask[rows][:, columns]


def _check_classes(examples: list[Example], names: tuple[str, ...]) -> None:
  for example in examples:
    for box in example.boxes:
      if box.name not in names:
        raise unknown(f"class in {example.where}", box.name, names)


def _check_sizes(examples: list[Example], sizes: np.ndarray) -> None:
  """Raises: UserError where an annotation is of another image than the file holds."""
  for example, size in zip(examples, sizes.tolist()):
    if example.size is not None and tuple(size) != tuple(example.size):
      said, found = (f"{s[1]}x{s[0]}" for s in (example.size, size))
      raise UserError(f"{example.where} is of {said} pixels, but {example.path} has {found}")
