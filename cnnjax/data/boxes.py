"""Images with annotated boxes as tables, with a fixed number of boxes for each image."""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data.files import read_all
from cnnjax.data.labels import listed
from cnnjax.data.masks import nearest
from cnnjax.data.places import pack
from cnnjax.data.split import by_origin, origin, with_test
from cnnjax.data.stream import check_memory
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown
from cnnjax.ops.preprocess import Preprocessing


class Box(NamedTuple):
  """One object: its corners (x0, y0, x1, y1), class, whether it is special, and its mask if any.

  `mask` is a function of the image's (height, width) that returns bool [H, W].
  """

  corners: tuple[float, float, float, float]
  name: str
  flag: bool = False
  mask: Callable[[int, int], np.ndarray] | None = None


class Example(NamedTuple):
  """One image with its boxes, its `size` (height, width), and where its annotation is (`where`).

  Without a size the boxes' coordinates are parts of the image, from 0 to 1.
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
  stream: str,
  masks: bool = False,
) -> dict[str, Table]:
  """Returns a table for each split; the test split is made from train where there is none.

  Its columns are image uint8 [N, H, W, C], size [N, 2] (height and width as read), boxes float32
  [N, P, 4] in pixels of `image`, labels int32 [N, P], valid and `flag` float32 [N, P], and with
  `masks` instances bool [N, P, H, W].

  Args:
    root: the folder that every image must lie in, after links are followed.
    splits: examples by split.
    seed: of the test split.
    to: the run's preprocessing; it resizes to (height, width) or not at all, and does not crop.
    flag: the name of the column that marks special boxes, such as "difficult" or "crowd".
    classes: names in order; by default those of train, sorted.
    places: P; 0 for the largest number of boxes in an image.
    test: the part that becomes the test split.
    on_error: "raise", or "skip" to leave out, and count, the images that cannot be read.
    stream: "" to read all images now, or "threads" or "processes" to read them batch by batch.
    masks: whether to make masks; all of them are held in memory.

  A box is clipped to its image. A box without area, before or after that, is left out; how many
  there are is printed on standard error. An image without boxes stays, as background.

  Raises: UserError for a class that is not listed, a size that is not the image's, more than P
    boxes in an image, and any error of `read_all`.
  """
  check_resize(to)
  names = listed(classes) or tuple(sorted({b.name for e in splits["train"] for b in e.boxes}))
  if not names:
    raise UserError(f"no image of the train split of {root} has a box")
  every = list(chain.from_iterable(splits.values()))
  _check_classes(every, names)
  image, good, sizes = read_all(root, [e.path for e in every], to, on_error, stream)
  kept = [example for example, g in zip(every, good) if g]
  _check_sizes(kept, sizes)
  found = columns(kept, names, places, sizes, image.shape[1:3], flag, masks)
  whole = Table({"image": image, "size": sizes, **found}, names)
  return with_test(by_origin(whole, origin(splits)[good], splits), test, seed)


def check_resize(to: Preprocessing) -> None:
  """Raises: UserError where a run's preprocessing does more than resize whole images."""
  if to.crop or isinstance(to.resize, int):
    raise UserError(
      "boxes move with a resize alone: set data.resize to (height, width), and data.crop to ()"
    )


def columns(
  examples: Sequence[Example],
  names: tuple[str, ...],
  places: int,
  sizes: np.ndarray,
  target: tuple[int, int],
  flag: str,
  masks: bool = False,
) -> dict[str, Any]:
  """Returns the columns of boxes, and of masks, for images of the target's (height, width).

  Arguments are those of `tables`, and the same boxes are left out; `sizes` [N, 2] are the images'
  (height, width) as read.
  """
  number = {name: label for label, name in enumerate(names)}
  cut = [_cut(example, size, target) for example, size in zip(examples, sizes)]
  lost = [(e, len(e.boxes) - len(c)) for e, (c, _) in zip(examples, cut) if len(c) < len(e.boxes)]
  if lost:
    count, first = sum(n for _, n in lost), lost[0][0].where
    print(f"left out {count} boxes of no area, the first in {first}", file=sys.stderr, flush=True)
  rows = [
    {
      "boxes": corners,
      "labels": np.asarray([number[box.name] for box in boxes], np.int32),
      flag: np.asarray([box.flag for box in boxes], np.float32),
    }
    for corners, boxes in cut
  ]
  found = pack(rows, places, lambda n: examples[n].where)
  if masks:
    shape = (*found["valid"].shape, *target)
    check_memory("images' masks", shape, "a smaller data.resize has smaller ones")
    found["instances"] = np.zeros(shape, bool)
    for n, ((_, boxes), size) in enumerate(zip(cut, sizes)):
      for place, box in enumerate(boxes):
        if box.mask is not None:
          found["instances"][n, place] = nearest(box.mask(*size.tolist()), target)
  return found


def _cut(
  example: Example, size: np.ndarray, target: tuple[int, int]
) -> tuple[np.ndarray, list[Box]]:
  """Returns the boxes with an area, and their corners float32 [K, 4] in pixels of the target."""
  height, width = size.tolist()
  whole = np.asarray([width, height] * 2)
  corners = np.asarray([box.corners for box in example.boxes], np.float64).reshape(-1, 4)
  corners = np.clip(corners * (whole if example.size is None else 1), 0, whole)
  there = (corners[:, 2:] > corners[:, :2]).all(1)
  scale = np.asarray([target[1] / width, target[0] / height] * 2)
  boxes = [box for box, of_some in zip(example.boxes, there) if of_some]
  return (corners[there] * scale).astype(np.float32), boxes


def _check_classes(examples: list[Example], names: tuple[str, ...]) -> None:
  known = set(names)
  for example in examples:
    for box in example.boxes:
      if box.name not in known:
        raise unknown(f"class in {example.where}", box.name, names)


def _check_sizes(examples: list[Example], sizes: np.ndarray) -> None:
  """Raises: UserError where an annotation states another size than its image file has."""
  for example, size in zip(examples, sizes.tolist()):
    if example.size is not None and tuple(size) != tuple(example.size):
      said, found = (f"{s[1]}x{s[0]}" for s in (example.size, size))
      raise UserError(f"{example.where} is of {said} pixels, but {example.path} has {found}")
