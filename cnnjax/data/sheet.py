"""A CSV file with one row for each image: its path, its label or numbers, and maybe its split."""

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data.below import tell_unread
from cnnjax.data.faults import attempt, kept
from cnnjax.data.files import located, tables
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.labels import as_written, listed, number, numbers
from cnnjax.data.rows import MORE, rows
from cnnjax.data.split import SPLITS, split_of, with_test
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
  encoding: str = "utf-8",
) -> dict[str, Table]:
  """Returns the splits of a CSV file, whose first row names its columns.

  Args:
    root: the file.
    seed: of the test split, where the file has none.
    to: the run's preprocessing. Images are resized as they are read.
    path: the column of the image files, relative to `images`.
    label: the column of their classes: names, or integers from 0 where all are written as such: 00
      and 1.0 are names; or a tuple of columns of numbers, which the tasks regression and multilabel
      learn.
    split: the column with train, validation or test, as `split.SPLITS` spells them; the column may
      be missing.
    images: the folder of the image files, relative to that of the CSV; by default the same.
    classes: their names in order; by default those in the rows of train, or the names of the
      columns of numbers.
    test: the part of each class that becomes the test split, where no row has it.
    on_error: "raise", or "skip" to leave out, and count, the images that cannot be read, and the
      rows with a wrong cell.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.
    encoding: of a file that is neither UTF-8 nor begins with a mark of its encoding, as Excel's
      UTF-16 does: "latin-1", "cp1252", ... The cells may be parted by commas, semicolons or tabs.

  Images in the folders of those listed that no row names are counted on standard error.

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

  def example(line: int, row: dict[str | None, str]) -> tuple[str, Path, Any]:
    where = f"{file}, row {line}"
    _check_cells(row, (path, *columns), where)
    image = located(folder / row[path])
    if on_error == "raise" and not os.path.isfile(image):  # with "skip" it is left out later
      raise UserError(f"{where}: no image file at {image}".replace("\0", "\\0"))
    values = row[label] if isinstance(label, str) else [_float(row, c, where) for c in columns]
    return _split(row.get(split, "train"), where), image, values

  found = rows(file, [path, *columns, *optional], [split], encoding, ragged=True)
  found = [attempt(partial(example, *one), on_error) for one in found]
  for named, image, values in kept(found, f"rows of {file}"):
    paths, labels = parts.setdefault(named, ([], []))
    paths.append(image)
    labels.append(values)
  if not parts["train"][0]:
    raise UserError(f"{file} has no row whose {split} is train")
  labels = {name: part[1] for name, part in parts.items()}
  if isinstance(label, str):
    found, names = number(str(file), as_written(str(file), labels, listed(classes)), classes)
  else:
    values = {name: np.asarray(part, np.float64) for name, part in labels.items()}
    found, names = numbers(str(file), values, classes or columns)
  files = {name: part[0] for name, part in parts.items()}
  splits = tables(folder, files, found, names, to, on_error, stream)
  every = [*chain.from_iterable(files.values())]
  top = Path(os.path.commonpath({os.path.abspath(path.parent) for path in every}))
  if top not in (
    Path(top.anchor),
    Path(os.path.expanduser("~")),
  ):  # a walk through them would take long
    unread = tell_unread(top, every, SUFFIXES)
    splits = {name: replace(table, unread=unread) for name, table in splits.items()}
  return with_test(splits, test, seed)


def _file(root: str) -> Path:
  if not root:
    raise UserError("data.root is empty; expected a CSV file: --config.data.root=FILE.csv")
  file = Path(root).expanduser()
  if not file.is_file():
    raise UserError(f"data.root {root} is no file; expected a CSV with columns path and label")
  return file


def _check_cells(row: dict[str, str], columns: Sequence[str], where: str) -> None:
  if None in row:
    raise UserError(f"{where} {MORE}")
  for column in columns:
    if not row[column]:
      raise UserError(f"{where} has no {column}")


def _float(row: dict[str, str], column: str, where: str) -> float:
  try:
    value = float(row[column])
  except ValueError:
    value = math.nan
  if not math.isfinite(value):
    raise UserError(f"{where}: {column} is {row[column]!r}; expected a finite number")
  return value


def _split(cell: str, where: str) -> str:
  known = [spelling for spellings in SPLITS.values() for spelling in spellings]
  found = split_of(cell)
  if not found:
    raise unknown(f"split in {where}", cell, known)
  return found
