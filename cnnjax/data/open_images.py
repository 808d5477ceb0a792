"""Open Images' CSV files: one row for each box, with its corners from 0 to 1, and group flags."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cnnjax.data.boxes import Box, Example, tables
from cnnjax.data.sheet import rows
from cnnjax.data.split import SPLITS
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing

CORNERS = ("XMin", "YMin", "XMax", "YMax")


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
) -> dict[str, Table]:
  """Returns the splits of Open Images, as `boxes.tables` does, with groups in the column `crowd`.

  Args:
    root: the folder that holds `annotations`, `images` and `names`.
    seed: of the test split, where there is no file of it.
    to: the run's preprocessing.
    annotations: the CSV of each split (train, validation or val, test), in which `{split}` is
      replaced.
    images: the folder of the split's images, ImageID.jpg, in which `{split}` is replaced too.
    names: the CSV, without a header, of each LabelName and its class name; where there is no such
      file, a class is called by its LabelName.
    classes: names in order; by default those of train, sorted.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    test: the part that becomes the test split, where there is no file of it.
    on_error: "raise", or "skip" to leave out, and count, images that cannot be read.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.

  Only images with a row are read, so that no image is background alone.

  Raises: UserError for a file, column or cell that is missing or wrong, and any error of
    `boxes.tables`.
  """
  folder = Path(root).expanduser()
  if not root or not folder.is_dir():
    raise UserError(f"data.root {root!r} is no folder; expected one with {annotations}")
  called = _called(folder / names)
  splits = {}
  for split, spellings in SPLITS.items():
    for spelt in spellings:
      file = folder / annotations.format(split=spelt)
      if file.is_file():
        splits[split] = _examples(file, folder / images.format(split=spelt), called)
  if "train" not in splits:
    raise UserError(f"{folder} has no {annotations.format(split='train')}")
  chosen = dict(classes=classes, places=places, test=test, on_error=on_error, stream=stream)
  return tables(folder, splits, seed, to=to, flag="crowd", **chosen)


def _examples(file: Path, images: Path, called: dict[str, str]) -> list[Example]:
  boxes = defaultdict(list)
  for line, row in rows(file, ["ImageID", "LabelName", *CORNERS]):
    where = f"{file}, row {line}"
    try:
      corners = tuple(float(row[column]) for column in CORNERS)
    except ValueError as error:
      raise UserError(f"{where}: the corners must be numbers from 0 to 1; {error}") from None
    if not all(0 <= value <= 1 for value in corners):
      raise UserError(f"{where}: the corners must be parts from 0 to 1; found {corners}")
    name = called.get(row["LabelName"], row["LabelName"])
    boxes[row["ImageID"]].append(Box(corners, name, row.get("IsGroupOf") == "1"))
  return [
    Example(images / f"{image}.jpg", found, None, f"{file}, image {image}")
    for image, found in boxes.items()
  ]


def _called(file: Path) -> dict[str, str]:
  if not file.is_file():
    return {}
  try:
    lines = file.read_text(encoding="utf-8").splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{file} cannot be read: {error}") from error
  return {label: name for label, comma, name in (line.partition(",") for line in lines) if comma}
