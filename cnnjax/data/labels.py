"""Labels of a source as what a network learns: indices of classes, or float32 numbers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnjax.data.names import plain
from cnnjax.errors import UserError, unknown

WRITTEN = re.compile(r"0|-?[1-9][0-9]{0,17}")  # an integer as a program writes it; int64 holds it
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
MISSING = ("nan", "na", "n/a", "#n/a", "<na>", "null", "none")  # how programs write no number


def listed(classes: Sequence[Any]) -> tuple[str, ...]:
  """Returns data.arguments.classes as strings. Raises: UserError where that is no list of names."""
  if not isinstance(classes, list | tuple):
    raise UserError(f"data.arguments.classes must be a tuple of names, found {classes!r}")
  names = tuple(plain(str(name)) for name in classes)
  if len(set(names)) < len(names):
    raise UserError(f"data.arguments.classes names a class twice: {', '.join(names)}")
  return names


def as_written(
  source: str, labels: Mapping[str, Sequence[str]], classes: Sequence[str] = ()
) -> dict[str, np.ndarray]:
  """Returns labels [N] that are read from text: integers where all are written so, else strings.

  "0" is written so; "00", "+1", "1.0" and "1e0" are names, and so are all if one is, or if all are
  among `classes`.

  Raises: UserError where numbers stand beside one of `MISSING`: a label was not known there.
  """
  values = {value for part in labels.values() for value in part}
  lost = {value for value in values if value.casefold() in MISSING}
  if lost and values > lost and all(map(NUMBER.fullmatch, values - lost)):
    raise UserError(
      f"{source} has the label {min(lost)!r} among numbers; expected a class for each example"
    )
  integers = all(map(WRITTEN.fullmatch, values)) and not values <= set(classes)
  kind = np.int64 if integers else np.str_
  return {split: np.asarray(part, np.str_).astype(kind) for split, part in labels.items()}


def number(
  source: str, labels: Mapping[str, np.ndarray], classes: Sequence[Any] = ()
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
  """Returns each split's labels as indices of classes, int32 [N], and the names of the classes.

  Args:
    source: where the labels are from, for error messages.
    labels: by split, one of them train; [N] of integers, indices from 0, or of strings.
    classes: their names in order; by default the numbers 0 to train's largest label, or train's
      names sorted.

  Raises: UserError for a label that is no class, and for a class without an example in train.
  """
  names = listed(classes)
  integers = all(np.issubdtype(part.dtype, np.integer) for part in labels.values())
  if not all(part.dtype.kind == "U" for part in labels.values()) and not integers:
    kinds = ", ".join(sorted({str(part.dtype) for part in labels.values()}))
    raise UserError(f"{source} has labels of {kinds}; expected integers or strings")
  if integers:
    largest = max(labels["train"].tolist(), default=-1)  # Python's integers, of any size
    count = len(names) or 1 + largest
    _check_places(source, labels, count)
  else:
    labels = {split: [plain(v) for v in part.tolist()] for split, part in labels.items()}
    names = names or tuple(sorted(set(labels["train"])))
    place = {name: index for index, name in enumerate(names)}
    strange = set().union(*labels.values()) - place.keys()
    if strange:
      raise unknown(f"class of {source}", min(strange), names)
    labels = {s: np.asarray([place[v] for v in part], np.int64) for s, part in labels.items()}
    count = len(names)
  there = set(labels["train"].tolist())
  lost = next((c for c in range(count) if c not in there), None)  # fast even where count is 10**12
  if lost is not None:
    name = names[lost] if names else lost
    hint = "" if names else "; if its numbers are names, list them in data.arguments.classes"
    raise UserError(f"{source} has no example of class {name} in the train split{hint}")
  names = names or tuple(map(str, range(count)))
  return {split: part.astype(np.int32) for split, part in labels.items()}, names


def numbers(
  source: str, values: Mapping[str, np.ndarray], names: Sequence[Any] = ()
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
  """Returns each split's numbers as float32 [N, T], and the names of their T columns.

  Args:
    source: where the numbers are from, for error messages.
    values: by split, one of them train; [N, T], or [N] for one column.
    names: of the columns; by default their indices.

  Raises: UserError for a value that is no number or is not finite in float32, and for splits of
    different columns.
  """
  values = {split: part[:, None] if part.ndim == 1 else part for split, part in values.items()}
  names = listed(names) or tuple(map(str, range(values["train"].shape[1])))
  found = {}
  for split, part in values.items():
    if part.shape[1] != len(names) or part.dtype.kind not in "biuf":
      raise UserError(
        f"{source} has {part.dtype} of shape {part.shape} in the {split} split; expected "
        f"{len(names)} numbers an image: {', '.join(names)}"
      )
    with np.errstate(over="ignore"):  # numbers that are too large are refused below
      found[split] = part.astype(np.float32)
    odd = np.argwhere(~np.isfinite(found[split]))
    if len(odd):
      row, column = odd[0]
      raise UserError(
        f"{source} has {part[row, column]} for {names[column]} of example {row} in the {split} "
        "split; expected a finite number"
      )
  return found, names


def _check_places(source: str, labels: Mapping[str, np.ndarray], count: int) -> None:
  for split, part in labels.items():
    if len(part) and not 0 <= part.min() <= part.max() < count:
      raise UserError(
        f"{source} has labels from {part.min()} to {part.max()} in the {split} split; "
        f"expected 0 to {count - 1}, the places of its {count} classes"
      )
