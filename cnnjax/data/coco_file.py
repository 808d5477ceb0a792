"""A COCO JSON file, checked once as it is read: its ids, names, sizes, boxes and segmentations."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cnnjax.data.boxes import Box, Example
from cnnjax.data.faults import attempt
from cnnjax.data.layout import folder_of, near_file, part
from cnnjax.data.names import Listing, shown, text
from cnnjax.data.outlines import checked, decoded, encoded
from cnnjax.data.split import find_splits
from cnnjax.errors import UserError

LISTS = ("images", "annotations", "categories")
Row = Mapping[str, Any]


def find(root: str, annotations: str, images: str) -> dict[str, tuple[Path, Path]]:
  """Returns each split's JSON file and folder of images, in which `{split}` is any spelling of it.

  Raises: UserError for one that is missing, or without a file of train.
  """
  folder = folder_of(root, f"{annotations} and {images}")
  near = partial(near_file, folder, "annotations", (".json",))
  files = find_splits(folder, annotations)
  if "train" not in files:
    raise UserError(f"{folder} has no {annotations.replace('{split}', 'train')}{near()}")
  return {split: (file, part(folder, images, split, near)) for split, file in files.items()}


def contents(file: Path) -> dict[str, list[Row]]:
  """Returns the images, annotations and categories of a file, each row with an `id` of its own.

  Only an annotation may lack it.

  Raises: UserError where it is no COCO JSON, and for an id that is missing, given twice, or neither
    a whole number nor text.
  """
  try:
    data = json.loads(file.read_bytes())  # UTF-8, 16 or 32, with or without a mark
  except RecursionError:
    raise UserError(f"{file} cannot be read as JSON: it is nested too deep") from None
  except (OSError, ValueError) as error:
    raise UserError(f"{file} cannot be read as JSON: {error}") from error
  if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in LISTS):
    found = ", ".join(map(shown, data)) if isinstance(data, dict) else type(data).__name__
    raise UserError(
      f"{file} is no COCO JSON of boxes: expected lists called {', '.join(LISTS)}; found {found}"
    )
  for key in LISTS:
    seen = set()
    for place, row in enumerate(data[key]):
      what = f"{file}, {key} at place {place}"
      if not isinstance(row, dict):
        raise UserError(f"{what} is {shown(row)}; expected an object {{...}}")
      if key == "annotations" and row.get("id") is None:
        continue
      known = _id(row.get("id"), f"{what}: its id")
      if known in seen:
        raise UserError(f"{file} has two {key} of the id {shown(known)}; expected one")
      seen.add(known)
  return data


def categories(file: Path, data: Mapping[str, list[Row]]) -> dict[Any, str]:
  """Returns the names of the categories by their ids, in the order of these.

  A category without annotations whose name another has too is left out: some programs write the
  name of the whole set as one.

  Raises: UserError for a category without a name, and for two of one name.
  """
  rows = sorted(data["categories"], key=lambda row: (isinstance(row["id"], str), row["id"]))
  names = {
    row["id"]: text(row.get("name"), f"{file}, category {row['id']}: its name").strip()
    for row in rows
  }
  of_name = defaultdict(list)
  for number, name in names.items():
    of_name[name].append(number)
  twice = {name: numbers for name, numbers in of_name.items() if len(numbers) > 1}
  given = [row.get("category_id") for row in data["annotations"]] if twice else []
  used = {number for number in given if isinstance(number, int | str)}
  for name, numbers in twice.items():
    first, *more = [n for n in numbers if n in used] or numbers[:1]
    if more:
      raise UserError(
        f"{file} has two categories called {name}, {shown(first)} and {shown(more[0])}; "
        "expected another name for each"
      )
    for number in numbers:
      if number != first:
        del names[number]
  return names


def examples(
  file: Path, images: Path, masks: bool = False, on_error: str = "raise"
) -> tuple[list[str], list[Example | UserError], int]:
  """Returns the names of a file's categories by id, its images with their boxes, and a count.

  It counts the polygons of fewer than three points, which are left out.

  Args:
    file: the JSON file.
    images: the folder of its images.
    masks: whether to make masks; segmentations are checked in any case.
    on_error: "raise", or "skip" to return an image with a fault as its UserError.

  Raises: UserError as `contents` and `categories` do; and where `on_error` is "raise" for an image
    without a size or name, or with one that another has, and for an annotation of an image or
    category that is not in the file, or whose box, segmentation, area or `iscrowd` is wrong.
  """
  data = contents(file)
  names, listing = categories(file, data), Listing()
  heads: dict[Any, Any] = {}
  files: dict[str, Any] = {}
  for row in data["images"]:
    heads[row["id"]] = attempt(partial(_head, row, files, f"{file}, image {row['id']!r}"), on_error)
  boxes, faults, dropped = defaultdict(list), {}, 0
  for place, row in enumerate(data["annotations"]):
    known = f" at place {place}" if row.get("id") is None else f" {row['id']}"
    found = attempt(partial(_box, row, heads, names, masks, f"{file}, annotation{known}"), on_error)
    number = row.get("image_id")
    if isinstance(found, UserError):
      known = not isinstance(number, list | dict) and number in heads
      faults.setdefault(number if known else ("annotation", place), found)
    elif found:
      boxes[number].append(found[0])
      dropped += found[1]
  made = [
    faults.pop(n, None)
    or (
      head
      if isinstance(head, UserError)
      else Example(listing.find(images, head[0]), boxes[n], head[1], f"{file}, image {n!r}")
    )
    for n, head in heads.items()
  ]
  return list(names.values()), made + list(faults.values()), dropped


def _head(row: Row, files: dict[str, Any], where: str) -> tuple[str, tuple[int, int]]:
  """Returns an image's file name and (height, width); `files` has the images of names so far."""
  name = text(row.get("file_name"), f"{where}: its file_name")
  if files.setdefault(name, row["id"]) != row["id"]:
    raise UserError(f"{where} is of the file {name}, as is image {files[name]!r}; expected one")
  return name, (_side(row, "height", where), _side(row, "width", where))


def _side(row: Row, key: str, where: str) -> int:
  value = row.get(key)
  if not _whole(value) or not 0 < value < 2**31:
    raise UserError(
      f"{where}: its {key} is {shown(value)}; expected pixels, a whole number above 0"
    )
  return int(value)


def _box(row: Row, heads: Row, names: Row, masks: bool, where: str) -> tuple[Box, int] | None:
  """Returns a box and how many of its polygons are left out; None where its image is not read."""
  for key, known, among in (("image", heads, "images"), ("category", names, "categories")):
    number = _id(row.get(f"{key}_id"), f"{where}: its {key}_id")
    if number not in known:
      raise UserError(f"{where} is of {key} {shown(number)}, which is not among its {among}")
  head = heads[row["image_id"]]
  if isinstance(head, UserError):
    return None
  corners = row.get("bbox")
  if not isinstance(corners, list) or len(corners) != 4 or not all(map(_finite, corners)):
    raise UserError(
      f"{where}: its bbox is {shown(corners)}; expected four finite numbers [x, y, width, height]"
    )
  x, y, width, height = map(float, corners)
  if width < 0 or height < 0:
    raise UserError(f"{where}: its bbox {shown(corners)} has a width or height below 0")
  crowd, area = row.get("iscrowd", 0), row.get("area")
  if crowd not in (0, 1, None):
    raise UserError(f"{where}: its iscrowd is {shown(crowd)}; expected 0 or 1")
  if area is not None and (not _finite(area) or area < 0):
    raise UserError(f"{where}: its area is {shown(area)}; expected a finite number from 0")
  drawn, dropped = checked(row.get("segmentation"), head[1], where)
  mask: Callable | None = None
  if masks and drawn:
    mask = partial(decoded, encoded(drawn, *head[1], where))
  name, area = names[row["category_id"]], None if area is None else float(area)
  return Box((x, y, x + width, y + height), name, bool(crowd), mask, area), dropped


def _id(value: Any, what: str) -> Any:
  if not _whole(value) and not isinstance(value, str):
    raise UserError(f"{what} is {shown(value)}; expected a whole number, or text")
  return value


def _whole(value: Any) -> bool:
  return _finite(value) and int(value) == value


def _finite(value: Any) -> bool:
  """Returns whether a value of a JSON file is a number that float64 holds."""
  if type(value) is float:
    return math.isfinite(value)
  return type(value) is int and abs(value) < 10**300  # no bool
