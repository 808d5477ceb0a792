"""Folders of images, each with a map of ids in which each object has its own number."""

import sys
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from cnnjax.data.boxes import check_resize
from cnnjax.data.files import check_inside, read_all
from cnnjax.data.image import open_image
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.labels import listed
from cnnjax.data.masks import bounds, nearest, number
from cnnjax.data.places import pack
from cnnjax.data.split import SPLITS, by_origin, origin, with_test
from cnnjax.data.stream import by_threads
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing

MOST = 2**16 - 1  # largest id


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
  """Returns image, size, boxes, labels and valid, as `boxes.tables` does, and `ids`, by split.

  `ids` uint16 [N, H, W] is k + 1 at the pixels of the object with index k, and 0 elsewhere; the
  object's box encloses these pixels, after the resize. An object without a pixel after the resize
  is left out; how many there are is printed on standard error.

  Args:
    root: the folder that holds `images` and `instances`.
    seed: of the test split, where there is no folder of it.
    to: the run's preprocessing; it resizes to (height, width) or not at all, and does not crop.
    images: the folder of a split's images, in which `{split}` is replaced.
    instances: the folder of its maps, in which `{split}` is replaced too: for each image a PNG of 8
      or 16 bits with the same name before the suffix; 0 is background, each other number an object.
    kind: the name of the one class, which all objects have.
    places: number of objects of an image that the table has room for; 0 for as many as needed.
    test: the part that becomes the test split, where there is no folder of it.
    on_error: "raise", or "skip" to leave out, and count, images that cannot be read; a map that
      cannot be read is always an error.

  Raises: UserError for a folder, an image or a map that is missing or wrong, a map of another size
    than its image, and more objects in an image than `places`.
  """
  check_resize(to)
  folder = Path(root).expanduser()
  if not root or not folder.is_dir():
    raise UserError(f"data.root {root!r} is no folder; expected one with {images} and {instances}")
  pairs = {}
  for split, spellings in SPLITS.items():
    for spelt in spellings:
      there = folder / images.format(split=spelt)
      if there.is_dir():
        pairs[split] = _pairs(there, folder / instances.format(split=spelt))
  if "train" not in pairs:
    raise UserError(f"{folder} has no folder {images.format(split='train')}")
  every = list(chain.from_iterable(pairs.values()))
  image, good, sizes = read_all(folder, [path for path, _ in every], to, on_error)
  kept = [pair for pair, g in zip(every, good) if g]
  read = partial(_map, folder.resolve(), image.shape[1:3])
  maps, lost = zip(*by_threads(read, zip(kept, sizes.tolist())))
  if sum(lost):
    where = next(path for (_, path), count in zip(kept, lost) if count)
    text = f"left out {sum(lost)} objects that the resize leaves no pixel of, the first in {where}"
    print(text, file=sys.stderr, flush=True)
  boxes = [bounds(ids) for ids in maps]
  rows = [{"boxes": b, "labels": np.zeros(len(b), np.int32)} for b in boxes]
  found = pack(rows, places, lambda n: str(kept[n][1]))
  whole = Table({"image": image, "size": sizes, **found, "ids": np.stack(maps)}, listed((kind,)))
  return with_test(by_origin(whole, origin(pairs)[good], pairs), test, seed)


def _pairs(images: Path, maps: Path) -> list[tuple[Path, Path]]:
  """Returns each image of a folder with its map."""
  found = []
  for path in sorted(images.iterdir()):
    if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
      found.append((path, maps / f"{path.stem}.png"))
      if not found[-1][1].is_file():
        raise UserError(f"{path} has no map of its objects at {found[-1][1]}")
  if not found:
    raise UserError(f"{images} holds no image; expected files {' '.join(SUFFIXES)}")
  return found


def _map(
  root: Path, target: tuple[int, int], of: tuple[tuple[Path, Path], list[int]]
) -> tuple[np.ndarray, int]:
  """Returns the ids of an image at the target's size, and how many objects the resize loses."""
  (image, path), size = of
  check_inside(root, path)
  with open_image(path) as file:
    if file.mode not in ("1", "L", "P") and not file.mode.startswith("I"):
      raise UserError(f"{path} is of mode {file.mode}; expected a number a pixel, of 8 or 16 bits")
    ids = np.asarray(file)
  if list(ids.shape) != size:
    said, found = (f"{s[1]}x{s[0]}" for s in (ids.shape, size))
    raise UserError(f"{path} is of {said} pixels, but {image} has {found}")
  if ids.min() < 0 or ids.max() > MOST:
    raise UserError(f"{path} has ids from {ids.min()} to {ids.max()}; expected 0 to {MOST}")
  whole, ids = (number(i.astype(np.int64)) for i in (ids, nearest(ids, target)))
  return ids, int(whole.max()) - int(ids.max())
