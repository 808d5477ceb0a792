"""Images with class maps as tables: the column `segments` holds the class of each pixel."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnjax.data.below import tell_unread
from cnnjax.data.faults import attempt, kept
from cnnjax.data.files import names_below, read_all
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.masks import nearest
from cnnjax.data.split import by_origin, with_test
from cnnjax.data.stream import by_threads, column
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing
from cnnjax.ops.segmentation import VOID


class Pair(NamedTuple):
  """An image, a function that returns its class map uint8 [H, W], and the map's file."""

  image: Path
  read: Callable[[], np.ndarray]
  map: Path


@dataclass(frozen=True)
class Maps:
  """Class maps at one size, read by their indices: maps([2, 0]) -> uint8 [2, H, W]."""

  pairs: Sequence[Pair]
  sizes: np.ndarray
  target: tuple[int, int]

  def __call__(self, places: np.ndarray) -> np.ndarray:
    return np.stack([attempt(partial(self.one, place), "raise") for place in places.tolist()])

  def one(self, place: int) -> np.ndarray:
    """Returns a map. Raises: UserError where its size is not its image's, and its own errors."""
    pair, size = self.pairs[place], tuple(self.sizes[place].tolist())
    found = pair.read()
    if found.shape != size:
      said, have = (f"{s[1]}x{s[0]}" for s in (found.shape, size))
      raise UserError(f"{pair.map} is of {said} pixels, but {pair.image} has {have}")
    return nearest(found, self.target)

  def seen(self, place: int) -> np.ndarray:
    """Returns how many pixels a map has of each class and of `VOID`, [256]."""
    return np.bincount(self.one(place).ravel(), minlength=VOID + 1)


def tables(
  root: Path,
  splits: Mapping[str, Sequence[Pair | UserError]],
  seed: int,
  *,
  to: Preprocessing,
  classes: tuple[str, ...],
  test: float,
  on_error: str,
  stream: str,
) -> dict[str, Table]:
  """Returns a table for each split; the test split is made from train where there is none.

  Its columns are image uint8 [N, H, W, C], size [N, 2] (height and width as read) and segments
  uint8 [N, H, W]: the class of each pixel, or `VOID`. A resize takes the map's nearest pixel.

  Args:
    root: the folder that every image must lie in, after links are followed.
    splits: pairs by split, or what is wrong with them, where `on_error` is "skip".
    seed: of the test split.
    to: the run's preprocessing; it resizes to (height, width) or not at all, and does not crop.
    classes: names in order; () for the numbers from 0 to the largest in a map.
    test: the part that becomes the test split.
    on_error: "raise", or "skip" to leave out, and count, pairs that are wrong.
    stream: "" to read all now, or "threads" or "processes" to read them batch by batch. Then maps
      are read at the start only where `classes` is () or `on_error` "skip".

  Raises: UserError for a map of another size than its image, and any error of `read_all` and of a
    map's function.
  """
  if to.crop or isinstance(to.resize, int):
    raise UserError(
      "class maps move with a resize alone: set data.resize to (height, width) or (), and "
      "data.crop to ()"
    )
  every = kept(
    [
      (split, one) if isinstance(one, Pair) else one
      for split, part in splits.items()
      for one in part
    ],
    "images",
  )
  tell_unread(root, [path for _, pair in every for path in (pair.image, pair.map)], SUFFIXES)
  image, good, sizes = read_all(root, [pair.image for _, pair in every], to, on_error, stream)
  every = [one for one, there in zip(every, good) if there]
  maps = Maps([pair for _, pair in every], sizes, image.shape[1:3])
  read = maps.one if not stream else maps.seen
  found = None
  if not stream or not classes or on_error == "skip":
    one = lambda place: attempt(partial(read, place), on_error)  # noqa: E731
    found = by_threads(one, range(len(every)))
    right = [place for place, one in enumerate(found) if not isinstance(one, UserError)]
    found = kept(found, "maps")
    if len(right) < len(every):
      image, every = image.take(np.asarray(right), 0), [every[place] for place in right]
      maps = Maps([pair for _, pair in every], sizes[right], image.shape[1:3])
    count = sum(found) if stream else sum(np.bincount(o.ravel(), minlength=VOID + 1) for o in found)
    classes = classes or numbered(count, maps.pairs[0].map)
  segments = column(maps, len(every), maps.target, stream) if stream else np.stack(found)
  names = names_below(root, [pair.image for _, pair in every]).astype(object)
  columns = {"image": image, "size": maps.sizes, "segments": segments}
  whole = Table(columns, classes, names)
  return with_test(by_origin(whole, np.asarray([s for s, _ in every]), splits), test, seed)


def numbered(count: np.ndarray, where: Path) -> tuple[str, ...]:
  """Returns the names of classes that are numbered, from the pixels [256] of each and of `VOID`.

  Raises: UserError where it is not plain what the numbers mean: two or more, without a gap.
  """
  there = np.flatnonzero(count[:VOID]).tolist()
  if len(there) < 2 or len(there) <= there[-1]:
    last = [VOID] if count[VOID] else []
    raise UserError(
      f"the maps, such as {where}, hold the numbers {', '.join(map(str, there)) or 'of void'} alone"
      f"{f' and {VOID}, which is void' if last else ''}; say which are classes by data.arguments: "
      f"'values': {tuple(there + last)}, or name all classes from 0 on in 'classes'"
    )
  return tuple(map(str, there))
