"""YOLO's folders: a text file for each image, with a line `class cx cy w h` for each box."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.data import yolo_yaml
from cnnjax.data.boxes import Box, Example, tables
from cnnjax.data.faults import attempt
from cnnjax.data.files import check_inside
from cnnjax.data.labels import listed
from cnnjax.data.layout import folder_of, near_images
from cnnjax.data.names import Listing, shown
from cnnjax.data.outlines import checked, draw
from cnnjax.data.split import find_splits
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say
from cnnjax.ops.preprocess import Preprocessing

SLACK = 0.01  # how far outside of its image a coordinate may lie, as a part of it


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  file: str = "data.yaml",
  images: str = "",
  classes: Sequence[str] = (),
  places: int = 0,
  masks: bool = False,
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "",
) -> dict[str, Table]:
  """Returns the splits of a YOLO folder, as `boxes.tables` does.

  An image's boxes stand in the text file of its name, in `labels` where the image lies in `images`,
  else beside it: on each line the number of a class, and the box's centre, width and height as
  parts of the image; or the number and a polygon x y x y ... of three points or more, around which
  the box is. An image without such a file has no boxes; how many have none is printed on standard
  error.

  Args:
    root: the folder of all files.
    seed: of the test split, where there is none.
    to: the run's preprocessing.
    file: the YAML file with the names of the classes and the paths of the splits' images.
    images: the folder of the splits' images, in which `{split}` stands for any spelling of a split,
      in place of the paths in `file`.
    classes: names in order; by default those of `file`, by their numbers. Without such a file they
      are the names of the numbers from 0.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    masks: whether to make the column `instances` of the polygons, at the size of the table's
      images.
    test: the part that becomes the test split, where there is none.
    on_error: "raise", or "skip" to leave out, and count, images with any fault in them or in
      their text files.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.

  Of the keypoints of a pose (a `kpt_shape` in the YAML file) only the boxes are read.

  Raises: UserError for a file, key or number that is missing or wrong, and any error of
    `boxes.tables`.
  """
  folder, listing = folder_of(root, file), Listing()
  names, found, pose = _found(folder, file, images, classes)
  labels = {s: [_label(folder, p, listing) for p in paths] for s, paths in found.items()}
  _tell(folder, labels, found)
  splits = {
    split: [
      attempt(partial(_example, folder, path, label, names, masks, pose), on_error)
      for path, label in zip(paths, labels[split])
    ]
    for split, paths in found.items()
  }
  chosen = dict(
    classes=classes or list(names.values()),
    places=places,
    test=test,
    on_error=on_error,
    stream=stream,
    masks=masks,
  )
  return tables(folder, splits, seed, to=to, flag="difficult", **chosen)


def _found(
  folder: Path, file: str, pattern: str, classes: Sequence[str]
) -> tuple[dict[int, str], yolo_yaml.Paths, bool]:
  """Returns the classes by their numbers, each split's images, and whether there are keypoints."""
  given = folder / file
  if not given.is_file():
    others = [p for ending in ("*.yaml", "*.yml") for p in sorted(folder.glob(ending))]
    given = others[0] if len(others) == 1 else given
  data = yolo_yaml.read(given) if given.is_file() else {}
  classes = listed(classes) or _lines(folder)
  if not data and not (pattern and classes):
    there = (
      f"{{'images': {pattern or near_images(folder)!r}, 'classes': {classes or ('NAME', '...')}}}"
    )
    raise UserError(
      f"{folder} has no {file}; expected one, or the folder of the images and the names of the "
      f'classes from 0 on: add --config.data.arguments="{there}"'
    )
  names = yolo_yaml.class_names(given, data) if data else dict(enumerate(classes))
  if pattern:
    places = find_splits(folder, pattern)
    found = {split: yolo_yaml.below(place) for split, place in places.items()}
    if not found.get("train"):
      raise UserError(f"{folder} has no images at {pattern.replace('{split}', 'train')}")
  else:
    found, vain = yolo_yaml.images(folder, given, data)
    for text in vain:
      say(text)
  for split, paths in found.items():
    if not paths:
      raise UserError(f"the {split} split of {folder} has no image")
  return names, found, "kpt_shape" in data


def _lines(folder: Path) -> tuple[str, ...]:
  """Returns the names in a file of them, one a line, as labelling programs write it."""
  there = [folder / name for name in ("classes.txt", "obj.names") if (folder / name).is_file()]
  try:
    lines = there[0].read_text(encoding="utf-8-sig").splitlines() if there else []
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{there[0]} cannot be read: {error}") from error
  return listed([line.strip() for line in lines if line.strip()])


def _label(root: Path, image: Path, listing: Listing) -> Path | None:
  """Returns the text file of an image: in `labels` for the last `images` of its path, or beside."""
  parts = list(image.parts)
  below = len(root.parts)
  places = [n for n in range(below, len(parts) - 1) if parts[n] == "images"]
  name = f"{image.stem}.txt"
  beside = [image.parent]
  if places:
    parts[places[-1]] = "labels"
    beside.insert(0, Path(*parts).parent)
  found = (listing.find(folder, name) for folder in beside)
  return next((path for path in found if path.is_file()), None)


def _tell(
  root: Path, labels: Mapping[str, list[Path | None]], found: Mapping[str, list[Path]]
) -> None:
  """Prints on standard error which images have no text file, and which such files no image.

  Raises: UserError where no image has one.
  """
  bare = [p for s, paths in found.items() for p, label in zip(paths, labels[s]) if label is None]
  used = {label for part in labels.values() for label in part if label}
  if not used:
    raise UserError(
      f"no image of {root} has a text file of boxes; expected one for {bare[0]} beside it, or in "
      "`labels` where the images lie in `images`"
    )
  if bare:
    say(f"{len(bare)} images have no boxes, for they have no text file, the first {bare[0]}")
  rest = {
    path
    for folder in {label.parent for label in used}
    for path in folder.glob("*.txt")
    if path not in used and path.name != "classes.txt" and not path.name.startswith(".")
  }
  if rest:
    say(f"{len(rest)} text files of boxes have no image, the first {min(rest)}")


def _example(
  root: Path, image: Path, label: Path | None, names: Mapping[int, str], masks: bool, pose: bool
) -> Example:
  if label is None:
    return Example(image, [], None, str(image), parts=True)
  check_inside(root.resolve(), label)
  try:
    lines = label.read_text(encoding="utf-8-sig").splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{label} cannot be read: {error}") from error
  boxes = [
    _box(line.split(), names, masks, pose, f"{label}, line {n}")
    for n, line in enumerate(lines, 1)
    if line.strip()
  ]
  return Example(image, boxes, None, str(label), parts=True)


def _box(words: list[str], names: Mapping[int, str], masks: bool, pose: bool, where: str) -> Box:
  try:
    number, *values = map(float, words)
  except ValueError:
    raise UserError(
      f"{where} is {shown(' '.join(words))}; expected numbers: class cx cy w h"
    ) from None
  if number not in names:
    raise UserError(f"{where} is of class {words[0]}; expected one of the numbers {_range(names)}")
  if pose:
    values = values[:4]
  if len(values) != 4 and (len(values) < 6 or len(values) % 2):
    raise UserError(
      f"{where} has {len(words)} numbers; expected class cx cy w h, or a class and an x and a y "
      "for each of three points or more"
    )
  if not all(math.isfinite(v) and -SLACK <= v <= 1 + SLACK for v in values):
    raise UserError(
      f"{where} has {shown(' '.join(words))}; expected parts of the image, from 0 to 1"
    )
  if len(values) == 4:
    x, y, width, height = values
    if width < 0 or height < 0:
      raise UserError(f"{where} has a width or height below 0")
    return Box((x - width / 2, y - height / 2, x + width / 2, y + height / 2), names[int(number)])
  points = np.asarray(values).reshape(-1, 2)
  corners = (*points.min(0).tolist(), *points.max(0).tolist())
  mask = partial(_drawn, points, where) if masks else None
  return Box(corners, names[int(number)], mask=mask)


def _drawn(points: np.ndarray, where: str, height: int, width: int) -> np.ndarray:
  """Returns the mask bool [H, W] of a polygon [K, 2] in parts of the image."""
  polygon = (points * (width, height)).ravel().tolist()
  return draw(checked([polygon], (height, width), where)[0], where, height, width)


def _range(names: Mapping[int, str]) -> str:
  return f"{min(names)} to {max(names)}" if len(names) > 3 else ", ".join(map(str, names))
