"""Open Images' CSV files: one row for each box, with its corners from 0 to 1, and group flags."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from cnnjax.data.boxes import Box, Example, tables
from cnnjax.data.boxes_csv import Row, by_image
from cnnjax.data.layout import folder_of, near_file, part
from cnnjax.data.names import Listing, shown, text
from cnnjax.data.rows import rows
from cnnjax.data.split import find_splits
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing

CORNERS = ("XMin", "YMin", "XMax", "YMax")
GROUPS = {"1": True, "0": False, "-1": False, "": False}  # -1: nobody looked


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  annotations: str = "{split}-annotations-bbox.csv",
  images: str = "{split}",
  names: str = "class-descriptions-boxable.csv",
  classes: Sequence[str] = (),
  places: int = 0,
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "",
  encoding: str = "utf-8",
) -> dict[str, Table]:
  """Returns the splits of Open Images, as `boxes.tables` does, with groups in the column `crowd`.

  Args:
    root: the folder that holds `annotations`, `images` and `names`.
    seed: of the test split, where there is no file of it.
    to: the run's preprocessing.
    annotations: the CSV of each split (train, validation, test), in which `{split}` stands for any
      spelling of a split. Without `{split}` it is the only file.
    images: the folder of the split's images, ImageID.jpg, in which `{split}` stands for the same.
    names: the CSV, without a header, of each LabelName and its class name; where there is no such
      file, a class is called by its LabelName.
    classes: names in order; by default those of train, sorted.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    test: the part that becomes the test split, where there is no file of it.
    on_error: "raise", or "skip" to leave out, and count, images with any fault in them or in
      one of their rows.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.
    encoding: of a CSV that is neither UTF-8 nor begins with a mark of its encoding.

  Only images with a row are read, so that no image is background alone.

  Raises: UserError for a file, column or cell that is missing or wrong, and any error of
    `boxes.tables`.
  """
  folder = folder_of(root, annotations)
  files, near = (
    find_splits(folder, annotations),
    partial(near_file, folder, "annotations", (".csv",)),
  )
  if "train" not in files:
    raise UserError(f"{folder} has no {annotations.replace('{split}', 'train')}{near()}")
  called, splits = _called(folder / names), {}
  for split, file in files.items():
    splits[split] = _examples(file, part(folder, images, split, near), called, encoding, on_error)
  chosen = dict(classes=classes, places=places, test=test, on_error=on_error, stream=stream)
  return tables(folder, splits, seed, to=to, flag="crowd", **chosen)


def _examples(
  file: Path, images: Path, called: Mapping[str, str], encoding: str, on_error: str
) -> list[Example | UserError]:
  listing = Listing()

  def made(image: str, _: Row, found: list[Box]) -> Example:
    path = listing.image(images, image) or images / f"{image}.jpg"
    return Example(path, found, None, f"{file}, image {image}", parts=True)

  found = rows(file, ["ImageID", "LabelName", *CORNERS], ["IsGroupOf"], encoding, ragged=True)
  return by_image(file, found, "ImageID", partial(_box, called), made, on_error)


def _box(called: Mapping[str, str], row: Row, where: str) -> Box:
  try:
    x0, y0, x1, y1 = corners = tuple(float(row[column]) for column in CORNERS)
  except ValueError as error:
    raise UserError(f"{where}: the corners must be numbers from 0 to 1; {error}") from None
  if not all(0 <= value <= 1 for value in corners):
    raise UserError(f"{where}: the corners must be parts from 0 to 1; found {corners}")
  if x1 < x0 or y1 < y0:
    raise UserError(f"{where}: XMin and YMin must be below XMax and YMax; found {corners}")
  group = row.get("IsGroupOf", "")
  if group not in GROUPS:
    raise UserError(f"{where}: IsGroupOf is {shown(group)}; expected 0 or 1")
  label = text(row["LabelName"], f"{where}: LabelName")
  return Box(corners, called.get(label, label), GROUPS[group])


def _called(file: Path) -> dict[str, str]:
  """Returns the name of each LabelName. Raises: UserError where two have the same."""
  if not file.is_file():
    return {}
  try:
    lines = file.read_text(encoding="utf-8-sig").splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{file} cannot be read: {error}") from error
  found: dict[str, str] = {}
  for label, comma, name in (line.partition(",") for line in lines):
    if comma:
      name, label = text(name.strip(), f"{file}: the name of {label}"), label.strip()
      if found.setdefault(label, name) != name:
        raise UserError(f"{file} gives {label} two names, {found[label]} and {name}")
  by_name: dict[str, str] = {}
  for label, name in found.items():
    if by_name.setdefault(name, label) != label:
      raise UserError(f"{file} calls both {by_name[name]} and {label} {name}; expected two names")
  return found
