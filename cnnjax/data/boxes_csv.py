"""Boxes in a CSV file of rows: the image's file, maybe its size, a class and the box's corners."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.data.boxes import Box, Example, tables
from cnnjax.data.faults import attempt
from cnnjax.data.layout import near_file, part
from cnnjax.data.names import Listing, shown, text
from cnnjax.data.rows import MORE, rows
from cnnjax.data.split import find_splits, split_of
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown
from cnnjax.ops.preprocess import Preprocessing

Row = Mapping[str, str]

COLUMNS = {  # our name: how people spell it, in any case, with or without "_"
  "filename": ("filename", "file", "image", "imageid", "imagename", "imagepath", "path", "img"),
  "class": ("class", "classname", "label", "labelname", "category", "categoryname"),
  "xmin": ("xmin", "x1", "x0", "left"),
  "ymin": ("ymin", "y1", "y0", "top"),
  "xmax": ("xmax", "x2", "right"),
  "ymax": ("ymax", "y2", "bottom"),
  "width": ("width", "imagewidth", "imgwidth"),
  "height": ("height", "imageheight", "imgheight"),
  "split": ("split", "subset"),
}
CORNERS = ("xmin", "ymin", "xmax", "ymax")
NEEDED = ("filename", "class", *CORNERS)


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  annotations: str = "{split}/_annotations.csv",
  images: str = "",
  classes: Sequence[str] = (),
  places: int = 0,
  first: int = 0,
  parts: bool = False,
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "",
  encoding: str = "utf-8",
) -> dict[str, Table]:
  """Returns the splits of boxes in CSV files, as `boxes.tables` does.

  The first row of a file names its columns: `filename`, `class`, `xmin`, `ymin`, `xmax`, `ymax`,
  and maybe `width` and `height` of the image in pixels, or other words for these, such as `label`
  or `x1` (the table `COLUMNS`). A row with a file name alone is an image without boxes.

  Args:
    root: a folder that holds `annotations`; or one CSV file, of which a column `split` may say the
      split of each row.
    seed: of the test split, where there is none.
    to: the run's preprocessing.
    annotations: the CSV of each split (train, validation, test), in which `{split}` stands for any
      spelling of a split.
    images: the folder of the images, in which `{split}` stands for the same; by default that of the
      CSV.
    classes: names in order; by default those of train, sorted.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    first: number of the first pixel, which is subtracted from xmin and ymin; 1 for rows made from
      PASCAL VOC's files as they are.
    parts: whether the corners are parts of the image, from 0 to 1, and not pixels.
    test: the part that becomes the test split, where there is none.
    on_error: "raise", or "skip" to leave out, and count, images with any fault in them or in
      one of their rows.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.
    encoding: of a CSV that is neither UTF-8 nor begins with a mark of its encoding.

  Raises: UserError for a file, column or cell that is missing or wrong, and any error of
    `boxes.tables`.
  """
  whole = Path(root).expanduser() if root and "\0" not in root else Path("no file")
  folder = whole.parent if whole.is_file() else whole
  if not folder.is_dir() or not root:
    raise UserError(
      f"data.root {root!r} is neither a CSV file nor a folder; expected one with {annotations}"
    )
  near = partial(near_file, folder, "annotations", (".csv",))
  files = {"train": whole} if whole.is_file() else find_splits(folder, annotations)
  if "train" not in files:
    raise UserError(f"{folder} has no {annotations.replace('{split}', 'train')}{near()}")
  splits: dict[str, list[Example | UserError]] = {}
  for split, file in files.items():
    for of, found in _by_split(file, split, encoding).items():
      where = part(folder, images, of, near) if images else file.parent
      _check_unit(file, found, parts)
      read = partial(_box, first, parts)
      made = partial(_example, file, where, parts, Listing())
      splits.setdefault(of, []).extend(by_image(file, found, "filename", read, made, on_error))
  if "train" not in splits:
    raise UserError(f"{whole} has no row whose split is train")
  chosen = dict(classes=classes, places=places, test=test, on_error=on_error, stream=stream)
  return tables(folder, splits, seed, to=to, flag="difficult", **chosen)


def by_image(
  file: Path,
  rows: Sequence[tuple[int, Row]],
  column: str,
  box: Callable[[Row, str], Box | None],
  example: Callable[[str, Row, list[Box]], Example],
  on_error: str,
) -> list[Example | UserError]:
  """Returns the examples of rows of boxes, in the order of the images' first rows.

  Args:
    file: the rows' file.
    rows: with their numbers.
    column: the column that names a row's image.
    box: (row, where it stands) -> its box, or None for a row without one.
    example: (image, its first row, its boxes) -> the example.
    on_error: "raise", or "skip" to return an image with a fault in a row as its UserError.

  Raises: UserError where `on_error` is "raise", for any fault.
  """
  heads: dict[str, Row] = {}
  boxes, faults, loose = defaultdict(list), {}, []
  for line, row in rows:
    where = f"{file}, row {line}"
    image = attempt(partial(text, row[column], f"{where}: {column}"), on_error)
    if isinstance(image, UserError):
      loose.append(image)
      continue
    heads.setdefault(image, row)
    found = attempt(partial(_agreed, box, row, heads[image], where), on_error)
    if isinstance(found, UserError):
      faults.setdefault(image, found)
    elif found is not None:
      boxes[image].append(found)
  made = [
    faults.get(image) or attempt(partial(example, image, head, boxes[image]), on_error)
    for image, head in heads.items()
  ]
  return made + loose


def _agreed(box: Callable[[Row, str], Box | None], row: Row, head: Row, where: str) -> Box | None:
  """Returns a row's box. Raises: UserError where the image's first row states another size."""
  if None in row:
    raise UserError(f"{where} {MORE}")
  for key in ("width", "height"):
    if row.get(key, "") != head.get(key, ""):
      raise UserError(
        f"{where}: {key} is {row[key]}; expected {head[key]}, as the image's first row"
      )
  return box(row, where)


def _by_split(file: Path, split: str, encoding: str) -> dict[str, list[tuple[int, Row]]]:
  """Returns a file's rows under our names of the columns, by their split."""
  found = rows(file, [], [], encoding, ragged=True)
  names = {}
  for spelt in filter(None, found[0][1]):
    plain = spelt.strip().lower().replace("_", "").replace(" ", "")
    own = next((name for name, words in COLUMNS.items() if plain in words), spelt)
    if own in names.values() and own in COLUMNS:
      raise UserError(f"{file} has two columns of {own}; expected one")
    names[spelt] = own
  for column in NEEDED:
    if column not in names.values():
      raise unknown(f"column of {file}", column, names)
  parts: dict[str, list[tuple[int, Row]]] = {}
  for line, row in found:
    row = {names.get(spelt): cell for spelt, cell in row.items()}
    of = split_of(row["split"]) if "split" in row else split
    if not of:
      raise unknown(f"split in {file}, row {line}:", row["split"], ("train", "validation", "test"))
    parts.setdefault(of, []).append((line, row))
  return parts


def _check_unit(file: Path, found: Sequence[tuple[int, Row]], parts: bool) -> None:
  """Raises: UserError where all corners lie from 0 to 1, though they should be pixels."""
  cells = [row[corner] for _, row in found for corner in CORNERS if row[corner]]
  if parts or not cells:
    return
  try:
    small = all(0 <= float(cell) <= 1 for cell in cells)
  except ValueError:
    return  # told with its row, later
  if small:
    raise UserError(
      f"{file} has corners from 0 to 1 alone, which are parts of the image and not pixels: add "
      "'parts': True to data.arguments"
    )


def _box(first: int, parts: bool, row: Row, where: str) -> Box | None:
  """Returns a row's box in pixels, or parts; None where all its cells but the file are empty."""
  if not any(row[column] for column in NEEDED[1:]):
    return None
  name = text(row["class"], f"{where}: class")
  x0, y0, x1, y1 = corners = [_number(row, corner, where) for corner in CORNERS]
  if x1 < x0 or y1 < y0:
    raise UserError(f"{where}: xmin and ymin must be below xmax and ymax; found {corners}")
  if parts and not all(0 <= value <= 1 for value in corners):
    raise UserError(f"{where}: the corners must be parts from 0 to 1; found {corners}")
  if x1 == x0 or y1 == y0:
    return Box((x0, y0, x0, y0), name)
  return Box((x0 - first, y0 - first, x1, y1), name)


def _example(
  file: Path, images: Path, parts: bool, listing: Listing, name: str, row: Row, boxes: list[Box]
) -> Example:
  where, size = f"{file}, image {name}", None
  if row.get("width") or row.get("height"):
    size = tuple(_number(row, key, where) for key in ("height", "width"))
    if not all(side == int(side) and 0 < side < 2**31 for side in size):
      raise UserError(f"{where}: its size is {shown(size)}; expected pixels, whole numbers above 0")
    size = tuple(map(int, size))
  path = listing.find(images, name)
  path = path if path.is_file() else listing.image(images, name) or path
  return Example(path, boxes, size, where, parts)


def _number(row: Row, column: str, where: str) -> float:
  try:
    value = float(row.get(column, ""))
  except ValueError:
    value = np.nan
  if not np.isfinite(value):
    raise UserError(f"{where}: {column} is {shown(row.get(column))}; expected a finite number")
  return value
