"""Folders of images, each with a map of ids in which each object has its own number."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnjax.data.below import tell_unread
from cnnjax.data.boxes import check_resize
from cnnjax.data.class_maps import Region, doubts, regions
from cnnjax.data.faults import attempt, kept
from cnnjax.data.files import check_inside, names_below, read_all
from cnnjax.data.image import open_image
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.labels import listed
from cnnjax.data.layout import folder_of, near_maps, part
from cnnjax.data.masks import bounds, nearest, number
from cnnjax.data.names import Listing
from cnnjax.data.places import pack
from cnnjax.data.split import by_origin, find_splits, with_test
from cnnjax.data.stream import by_threads
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say
from cnnjax.ops.preprocess import Preprocessing

MOST = 2**16 - 1  # largest id
LOOKED = 32  # maps that are looked at for classes in place of objects


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  images: str = "{split}/images",
  instances: str = "{split}/instances",
  kind: str = "object",
  places: int = 0,
  test: float = 0.2,
  on_error: str = "raise",
) -> dict[str, Table]:
  """Returns image, size, boxes, areas, labels and valid, as `boxes.tables` does, and `ids`.

  `ids` uint16 [N, H, W] is k + 1 at the pixels of the object with index k, and 0 elsewhere; the
  object's box encloses these pixels, after the resize. An object without a pixel after the resize
  is left out; how many there are is printed on standard error, and so is what looks as if the maps
  held classes. An object's area is the number of its pixels before the resize.

  Args:
    root: the folder that holds `images` and `instances`.
    seed: of the test split, where there is no folder of it.
    to: the run's preprocessing; it resizes to (height, width) or not at all, and does not crop.
    images: the folder of a split's images, in which `{split}` stands for any spelling of a split.
    instances: the folder of its maps, in which `{split}` stands for the same: for each image a PNG
      of 8 or 16 bits with the same name before the suffix; 0 is background, each other number an
      object.
    kind: the name of the one class, which all objects have.
    places: number of objects of an image that the table has room for; 0 for as many as needed.
    test: the part that becomes the test split, where there is no folder of it.
    on_error: "raise", or "skip" to leave out, and count, images with any fault in them or in
      their maps.

  Raises: UserError for a folder, an image or a map that is missing or wrong, a map of another size
    than its image, and more objects in an image than `places`.
  """
  check_resize(to)
  folder = folder_of(root, f"{images} and {instances}")
  near, pairs = partial(near_maps, folder), []
  places_of = find_splits(folder, images)
  if "train" not in places_of:
    raise UserError(f"{folder} has no folder {images.replace('{split}', 'train')}{near()}")
  for split, there in places_of.items():
    found = _images(there)
    pairs += _pairs(split, found, part(folder, instances, split, near), on_error)
  pairs = kept(pairs, "images")
  used = [path for pair in pairs for path in (pair.image, pair.map)]
  unread = tell_unread(folder, used, SUFFIXES)
  image, good, sizes = read_all(folder, [pair.image for pair in pairs], to, on_error)
  pairs = [pair for pair, g in zip(pairs, good) if g]
  looked = set(np.linspace(0, len(pairs) - 1, min(LOOKED, len(pairs))).astype(int).tolist())
  read = partial(_map, folder.resolve(), image.shape[1:3])
  found = by_threads(
    lambda n: attempt(partial(read, pairs[n], sizes[n].tolist(), n in looked), on_error),
    range(len(pairs)),
  )
  right = [n for n, one in enumerate(found) if not isinstance(one, UserError)]
  maps = kept(found, "maps")
  image, sizes, pairs = image[right], sizes[right], [pairs[n] for n in right]
  _tell(pairs, maps)
  boxes = [bounds(one.ids) for one in maps]
  rows = [
    {"boxes": b, "areas": one.areas, "labels": np.zeros(len(b), np.int32)}
    for b, one in zip(boxes, maps)
  ]
  columns = pack(rows, places, lambda n: str(pairs[n].map))
  columns["ids"] = np.stack([one.ids for one in maps])
  files = names_below(folder, [pair.image for pair in pairs])
  called = listed((kind,))
  whole = Table({"image": image, "size": sizes, **columns}, called, files, unread=unread)
  of = np.asarray([pair.split for pair in pairs])
  return with_test(by_origin(whole, of, places_of), test, seed)


class Pair(NamedTuple):
  """An image with its map of ids, and the split of both."""

  split: str
  image: Path
  map: Path


class Objects(NamedTuple):
  """A map as read: ids at the target's size, areas [K] before the resize, how many were lost.

  `regions` are what the map holds before the resize, of the maps that are looked at.
  """

  ids: np.ndarray
  areas: np.ndarray
  lost: int
  regions: list[Region] | None


def _images(folder: Path) -> list[Path]:
  names = sorted(folder.iterdir()) if folder.is_dir() else []
  there = [p for p in names if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
  if not there:
    raise UserError(f"{folder} holds no image; expected files {' '.join(SUFFIXES)}")
  return there


def _pairs(split: str, images: list[Path], maps: Path, on_error: str) -> list[Pair | UserError]:
  """Returns each image with its map."""
  listing, stems = Listing(), {}

  def pair(path: Path) -> Pair:
    found = listing.find(maps, f"{path.stem}.png")
    if not found.is_file():
      raise UserError(f"{path} has no map of its objects at {found}")
    if stems.setdefault(path.stem, path) != path:
      raise UserError(f"{stems[path.stem]} and {path} have one map, {found}; expected one image")
    return Pair(split, path, found)

  return [attempt(partial(pair, path), on_error) for path in images]


def _map(root: Path, target: tuple[int, int], pair: Pair, size: list[int], look: bool) -> Objects:
  """Returns the objects of an image at the target's size."""
  check_inside(root, pair.map)
  with open_image(pair.map) as file:
    if file.mode not in ("1", "L", "P") and not file.mode.startswith("I"):
      raise UserError(
        f"{pair.map} is of mode {file.mode}; expected a number a pixel, of 8 or 16 bits"
      )
    ids = np.asarray(file)
  if list(ids.shape) != size:
    said, found = (f"{s[1]}x{s[0]}" for s in (ids.shape, size))
    raise UserError(f"{pair.map} is of {said} pixels, but {pair.image} has {found}")
  if ids.min() < 0 or ids.max() > MOST:
    raise UserError(f"{pair.map} has ids from {ids.min()} to {ids.max()}; expected 0 to {MOST}")
  ids = ids.astype(np.int64)
  whole, small = number(ids), nearest(ids, target)
  areas = np.bincount(ids.ravel(), minlength=1)[_numbers(small)]
  found = regions(ids) if look else None
  small = number(small)
  return Objects(small, areas.astype(np.float32), int(whole.max()) - int(small.max()), found)


def _numbers(ids: np.ndarray) -> np.ndarray:
  """Returns the ids of a map in order, without 0."""
  there = np.unique(ids)
  return there[there > 0]


def _tell(pairs: list[Pair], maps: list[Objects]) -> None:
  """Prints on standard error what the resize lost, and what looks as if maps held classes."""
  lost = sum(one.lost for one in maps)
  if lost:
    where = next(pair.map for pair, one in zip(pairs, maps) if one.lost)
    text = f"left out {lost} objects that the resize leaves no pixel of, the first in {where}"
    say(text)
  found = doubts([one.regions for one in maps if one.regions is not None])
  if found:
    text = (
      f"the maps, such as {pairs[0].map}, look as if they held classes and not objects: "
      f"{'; '.join(found)}. Each id in a map is learnt as one object, and 0 as background"
    )
    say(text)
