"""What tasks take from the data before a run: the column to learn, and weights of classes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnjax.data.table import Table
from cnnjax.errors import UserError

HELD = {
  "label": "a class for each image",
  "target": "numbers for each image",
  "boxes": "boxes in each image",
  "segments": "a class for each pixel",
}


def column(splits: Mapping[str, Table], key: str, task: str) -> np.ndarray:
  """Returns the training split's `label` [N], `target` [N, T], `boxes` or `segments`.

  Raises: UserError where the data lack this column.
  """
  columns = splits["train"].columns
  if key not in columns:
    found = " and ".join(HELD[k] for k in HELD if k in columns) or "neither"
    raise UserError(
      f"task {task} needs {HELD[key]}, but the data hold {found}; set task.name, "
      "data.name to a source of boxes (voc, coco, open_images, instances, scenes) or "
      "of class maps (segmentation, camvid, voc_segmentation, coco_segmentation), or the "
      "data.arguments.label of a CSV: one column of classes, or a tuple of columns of numbers"
    )
  return columns[key]


def weights(
  name: str, given: Any, names: Sequence[str], over: np.ndarray, under: np.ndarray
) -> dict[str, tuple[float, ...]]:
  """Returns {name: a weight for each of `names`}, and {} for ().

  Args:
    name: of the option.
    given: (), the weights, or "balanced" for over / under.
    names: of the classes or labels.
    over: counts of examples, one for each name, or one for all.
    under: counts, one for each name.

  Raises: UserError for weights that are no numbers above 0, and for "balanced" where a count is 0.
  """
  if given in ("balanced", ("balanced",)):  # the command line gives the second form
    lost = np.flatnonzero(np.minimum(over, under) == 0)
    if len(lost):
      raise UserError(
        f"task.{name} cannot be balanced: the train split holds no example, or nothing else, of "
        f"{names[lost[0]]}"
      )
    return {name: tuple((over / under).tolist())}
  fits = isinstance(given, list | tuple) and len(given) in (0, len(names))
  if not fits or not all(isinstance(v, int | float) and 0 < v < math.inf for v in given):
    raise UserError(
      f'task.{name} must be (), "balanced", or a number above 0 for each of {len(names)} '
      f"classes; found {given!r}"
    )
  return {name: tuple(given)} if given else {}
