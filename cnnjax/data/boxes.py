"""Images with annotated boxes as tables, with a fixed number of boxes for each image."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data.below import tell_unread
from cnnjax.data.faults import attempt, kept
from cnnjax.data.files import names_below, read_all
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.labels import listed
from cnnjax.data.masks import nearest
from cnnjax.data.places import pack
from cnnjax.data.split import by_origin, with_test
from cnnjax.data.stream import check_memory
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say, unknown
from cnnjax.ops.preprocess import Preprocessing


class Box(NamedTuple):
  """One object: its corners (x0, y0, x1, y1), class, whether it is special, its mask and area.

  `mask` is a function of the image's (height, width) that returns bool [H, W]. `area` is what the
  annotation says, in pixels of the image as read.
  """

  corners: tuple[float, float, float, float]
  name: str
  flag: bool = False
  mask: Callable[[int, int], np.ndarray] | None = None
  area: float | None = None


class Example(NamedTuple):
  """One image with its boxes, the `size` (height, width) that its annotation states, and where.

  The boxes are in pixels, or with `parts` from 0 to 1, parts of the image.
  """

  path: Path
  boxes: Sequence[Box]
  size: tuple[int, int] | None
  where: str
  parts: bool = False


def tables(
  root: Path,
  splits: Mapping[str, Sequence[Example | UserError]],
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
  [N, P, 4] in pixels of `image`, areas float32 [N, P] in pixels of the image as read, labels int32
  [N, P], valid and `flag` float32 [N, P], and with `masks` instances bool [N, P, H, W].

  Args:
    root: the folder that every image must lie in, after links are followed.
    splits: examples by split, or what is wrong with them, where `on_error` is "skip".
    seed: of the test split.
    to: the run's preprocessing; it resizes to (height, width) or not at all, and does not crop.
    flag: the name of the column that marks special boxes, such as "difficult" or "crowd".
    classes: names in order; by default those of train, sorted.
    places: P; 0 for the largest number of boxes in an image.
    test: the part that becomes the test split.
    on_error: "raise", or "skip" to leave out, and count, the examples that are wrong.
    stream: "" to read all images now, or "threads" or "processes" to read them batch by batch.
    masks: whether to make masks; all of them are held in memory.

  A box is clipped to its image. A box without area, before or after that, is left out; how many
  there are is printed on standard error, and so is how many images below the root are not read. An
  image without boxes stays, as background.

  An area is the annotation's, else that of the mask, where there are masks, else that of the box.

  Raises: UserError for a class that is not listed, a size that is not the image's, more than P
    boxes in an image, and any error of `read_all`.
  """
  check_resize(to)
  train = [e for e in splits["train"] if isinstance(e, Example)]
  names = listed(classes) or sorted({box.name for example in train for box in example.boxes})
  known, names = frozenset(names), tuple(names)
  if train and not names:
    raise UserError(f"no image of the train split of {root} has a box")
  every = kept(
    [
      (split, e) if isinstance(e, Example) else e
      for split, part in splits.items()
      for e in (_known(example, known, on_error) for example in part)
    ],
    "examples",
  )
  split, every = map(list, zip(*every))
  unread = tell_unread(root, [example.path for example in every], SUFFIXES)
  image, good, sizes = read_all(root, [e.path for e in every], to, on_error, stream)
  split, every = np.asarray(split)[good], [e for e, g in zip(every, good) if g]
  same = [attempt(partial(_check_size, *one), on_error) for one in zip(every, sizes.tolist())]
  if not all(one is None for one in same):
    kept(same, "examples")
    right = np.flatnonzero([one is None for one in same])
    image, sizes, split = image.take(right, 0), sizes[right], split[right]
    every = [every[place] for place in right]
  found = columns(every, names, places, sizes, image.shape[1:3], flag, masks)
  files = names_below(root, [example.path for example in every])
  whole = Table({"image": image, "size": sizes, **found}, names, files, unread=unread)
  return with_test(by_origin(whole, split, splits), test, seed)


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
  lost = [(e, len(e.boxes) - len(c[0])) for e, c in zip(examples, cut)]
  _tell("left out {} boxes of no area, the first in {}", lost)
  rows = [
    {
      "boxes": corners,
      "areas": areas,
      "labels": np.asarray([number[box.name] for box in boxes], np.int32),
      flag: np.asarray([box.flag for box in boxes], np.float32),
    }
    for corners, areas, boxes in cut
  ]
  found = pack(rows, places, lambda n: examples[n].where)
  if masks:
    shape = (*found["valid"].shape, *target)
    check_memory("images' masks", shape, "a smaller data.resize has smaller ones")
    found["instances"] = np.zeros(shape, bool)
    empty = [0] * len(cut)
    for n, ((*_, boxes), size) in enumerate(zip(cut, sizes)):
      for place, box in enumerate(boxes):
        mask = np.zeros(size, bool) if box.mask is None else box.mask(*size.tolist())
        found["instances"][n, place] = nearest(mask, target)
        pixels = np.count_nonzero(mask)
        empty[n] += not pixels
        if box.area is None and pixels:
          found["areas"][n, place] = pixels
    if sum(empty) == found["valid"].sum() > 0:
      raise UserError(f"no box has a mask; the first without is in {examples[0].where}")
    _tell("{} boxes have no mask, or an empty one, the first in {}", list(zip(examples, empty)))
  return found


def _tell(text: str, counts: Sequence[tuple[Example, int]]) -> None:
  """Prints on standard error how many boxes something holds for, and in which file first."""
  count = sum(n for _, n in counts)
  if count:
    first = next(example.where for example, n in counts if n)
    say(text.format(count, first))


def _cut(
  example: Example, size: np.ndarray, target: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, list[Box]]:
  """Returns the boxes with an area: corners float32 [K, 4] in the target's pixels, areas [K], all.

  Areas are in pixels of the image as read.
  """
  height, width = size.tolist()
  whole = np.asarray([width, height] * 2)
  corners = np.asarray([box.corners for box in example.boxes], np.float64).reshape(-1, 4)
  corners = np.clip(corners * (whole if example.parts else 1), 0, whole)
  sides = corners[:, 2:] - corners[:, :2]
  there = (sides > 0).all(1)
  boxes = [box for box, of_some in zip(example.boxes, there) if of_some]
  areas = [
    own if box.area is None else box.area for box, own in zip(boxes, sides[there].prod(1).tolist())
  ]
  scale = np.asarray([target[1] / width, target[0] / height] * 2)
  return (corners[there] * scale).astype(np.float32), np.asarray(areas, np.float32), boxes


def _known(example: Example | UserError, names: frozenset[str], on_error: str) -> Any:
  """Returns the example, or an error where one of its boxes has a class that is not listed."""
  strange = next((b.name for b in getattr(example, "boxes", ()) if b.name not in names), None)
  if strange is None:
    return example
  return attempt(partial(_refuse, example, strange, names), on_error)


def _refuse(example: Example, name: str, names: frozenset[str]) -> None:
  raise unknown(f"class in {example.where}", name, names)


def _check_size(example: Example, size: Sequence[int]) -> None:
  """Raises: UserError where an annotation states another size than its image file has."""
  if example.size is not None and tuple(size) != tuple(example.size):
    said, found = (f"{s[1]}x{s[0]}" for s in (example.size, size))
    raise UserError(f"{example.where} is of {said} pixels, but {example.path} has {found}")
