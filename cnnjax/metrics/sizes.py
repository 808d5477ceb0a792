"""How large regions are: areas or volumes of predicted class maps against the true ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnjax.ops.segmentation import VOID


def sizes(rows: Mapping[str, Any], classes: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns the size of each class in each real example, predicted and true: [N, C] each.

  They are areas or volumes, in the units of the spacing. Void pixels are counted in neither.

  Args:
    rows: of all examples: `segments` and `truth` [N, *S], `spacing` [N, D] and `mask` [N].
    classes: C.
  """
  found, true = [], []
  for n in np.flatnonzero(np.asarray(rows["mask"]) > 0):
    answer, truth = (np.asarray(rows[key][n]) for key in ("segments", "truth"))
    one, known = float(np.prod(rows["spacing"][n], dtype=np.float64)), truth != VOID
    for into, of in ((found, answer), (true, truth)):
      into.append(one * np.bincount(of[known].ravel(), minlength=VOID + 1)[:classes])
  return np.reshape(found, (-1, classes)), np.reshape(true, (-1, classes))


def summarise(rows: Mapping[str, Any], classes: int) -> list[dict[str, float | None]]:
  """Returns for each class `size_error` and `size_r2`, None where they are not defined.

  The error is the mean over the examples that have the class of |predicted - true| / true; r2 is
  the part of the variance of all true sizes that the predicted ones explain.
  """
  figures = []
  for found, true in zip(*(one.T for one in sizes(rows, classes))):
    there, spread = true > 0, np.square(true - true.mean()).sum() if len(true) else 0.0
    error = float(np.mean(np.abs(found - true)[there] / true[there])) if there.any() else None
    r2 = float(1 - np.square(found - true).sum() / spread) if spread > 0 else None
    figures.append({"size_error": error, "size_r2": r2})
  return figures
