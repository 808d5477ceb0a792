"""A CSV file with one row for each image: its path, its label or numbers, and maybe its split."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data.files import tables
from cnnjax.data.labels import listed, number, numbers
from cnnjax.data.split import SPLITS, with_test
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown
from cnnjax.ops.preprocess import Preprocessing


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  path: str = "path",
  label: str | Sequence[str] = "label",
  split: str = "split",
  images: str = "",
  classes: Sequence[str] = (),
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "",
) -> dict[str, Table]:
  """Returns the splits of a CSV file, whose first row names its columns.

  Args:
    root: the file.
    seed: of the test split, where the file has none.
    to: the run's preprocessing. Images are resized as they are read.
    path: the column of the image files, relative to `images`.
    label: the column of their classes: names, or integers from 0; or a tuple of columns of numbers,
      which the tasks regression and multilabel learn.
    split: the column with train, validation or test; the column may be missing.
    images: the folder of the image files, relative to that of the CSV; by default the same.
    classes: their names in order; by default those in the rows of train, or the names of the
      columns of numbers.
    test: the part of each class that becomes the test split, where no row has it.
    on_error: "raise", or "skip" to leave out, and count, the images that cannot be read.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.

  Raises: UserError for a file, column, cell or label that is missing or wrong, and for a file that
    is no image or lies outside `images`.
  """
  file = _file(root)
  folder = file.parent / Path(images).expanduser()
  optional = [] if split == "split" else [split]
  columns = [label] if isinstance(label, str) else list(label)
  if not columns:
    raise UserError("data.arguments.label names no column; expected one of classes, or a tuple")
  parts: dict[str, tuple[list[Path], list[Any]]] = {"train": ([], [])}
  for line, row in rows(file, [path, *columns, *optional]):
    where = f"{file}, row {line}"
    for column in (path, *columns):
      if not row[column]:
        raise UserError(f"{where} has no {column}")
    paths, labels = parts.setdefault(_split(row.get(split, "train"), where), ([], []))
    paths.append(folder / row[path])
    labels.append(
      row[label] if isinstance(label, str) else [_float(row, c, where) for c in columns]
    )
    if on_error == "raise" and not paths[-1].is_file():  # with "skip" it is left out later
      raise UserError(f"{where}: no image file at {paths[-1]}")
  if not parts["train"][0]:
    raise UserError(f"{file} has no row whose {split} is train")
  labels = {name: part[1] for name, part in parts.items()}
  if isinstance(label, str):
    found, names = number(str(file), _integers(labels, listed(classes)), classes)
  else:
    values = {name: np.asarray(part, np.float64) for name, part in labels.items()}
    found, names = numbers(str(file), values, classes or columns)
  files = {name: part[0] for name, part in parts.items()}
  splits = tables(folder, files, found, names, to, on_error, stream)
  return with_test(splits, test, seed)


def _file(root: str) -> Path:
  if not root:
    raise UserError("data.root is empty; expected a CSV file: --config.data.root=FILE.csv")
  file = Path(root).expanduser()
  if not file.is_file():
    raise UserError(f"data.root {root} is no file; expected a CSV with columns path and label")
  return file


def rows(file: Path, columns: list[str]) -> list[tuple[int, dict[str, str]]]:
  """Returns a CSV file's rows with their numbers; the header is row 1.

  Cells are stripped, and missing ones are "".

  Raises: UserError for a file that is no CSV, or lacks one of the columns.
  """
  try:
    with file.open(encoding="utf-8-sig", newline="") as text:
      reader = csv.DictReader(text, restval="", skipinitialspace=True, strict=True)
      header = reader.fieldnames or []
      found = list(reader)
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f"{file} cannot be read as a CSV file in UTF-8: {error}") from error
  for column in columns:
    if column not in header:
      raise unknown(f"column of {file}", column, header)
  if not found:
    raise UserError(f"{file} has no rows under its header")
  for line, row in enumerate(found, 2):
    if None in row:
      raise UserError(
        f"{file}, row {line} has more cells than the header; quote those with a comma"
      )
  return [(line, {k: v.strip() for k, v in row.items()}) for line, row in enumerate(found, 2)]


def _float(row: dict[str, str], column: str, where: str) -> float:
  try:
    value = float(row[column])
  except ValueError:
    value = math.nan
  if not math.isfinite(value):
    raise UserError(f"{where}: {column} is {row[column]!r}; expected a finite number")
  return value


def _split(cell: str, where: str) -> str:
  for split, spellings in SPLITS.items():
    if cell.lower() in spellings:
      return split
  raise unknown(f"split in {where}", cell, [s for spellings in SPLITS.values() for s in spellings])


def _integers(labels: dict[str, list[str]], classes: Sequence[str]) -> dict[str, np.ndarray]:
  """Returns labels [N] as integers where all are integers, but not where all are class names."""
  values = {value for part in labels.values() for value in part}
  named = values <= set(classes)
  try:
    kind = np.str_ if named else np.int64
    return {split: np.asarray(part, np.str_).astype(kind) for split, part in labels.items()}
  except (ValueError, OverflowError):
    return {split: np.asarray(part, np.str_) for split, part in labels.items()}
