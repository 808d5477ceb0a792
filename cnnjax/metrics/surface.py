"""Figures of the surfaces of regions: how far apart two are, and how much of them is close.

A region's surface is those of its pixels that have a neighbour along an axis outside of it, or at
the border of the image. Distances are in the units of `spacing`, the size of a pixel along each
axis; all functions take two and three dimensions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax.ops.segmentation import VOID

TOLERANCE = 0.0075  # of the image's diagonal: surfaces agree within it (Csurka et al., BMVC 2013)


class Distances(NamedTuple):
  """From each surface pixel of one region to the nearest one of the other, both ways."""

  there: np.ndarray
  back: np.ndarray

  def hausdorff(self, percentile: float = 95.0) -> float:
    """Returns the larger of the two directed percentiles; at 100 it is the Hausdorff distance."""
    return max(float(np.percentile(d, percentile)) if len(d) else 0.0 for d in self)

  def f1(self, tolerance: float) -> float:
    """Returns the harmonic mean of the parts of both surfaces that lie within the tolerance."""
    first, second = (float(np.mean(d <= tolerance)) if len(d) else 1.0 for d in self)
    return 2 * first * second / (first + second) if first + second else 0.0


def surface(region: np.ndarray) -> np.ndarray:
  """Returns the surface of a region, bool [*S]."""
  from scipy.ndimage import binary_erosion

  return region & ~binary_erosion(region)


def distances(
  found: np.ndarray,
  true: np.ndarray,
  spacing: Sequence[float],
  counted: np.ndarray | None = None,
) -> Distances | None:
  """Returns the distances between the surfaces of two regions, None where one of them is empty.

  Args:
    found: bool [*S].
    true: bool [*S].
    spacing: of pixels along each axis.
    counted: bool [*S], the surface pixels from which distances are taken; all by default.
  """
  from scipy.ndimage import distance_transform_edt, find_objects

  if not (found.any() and true.any()):
    return None
  (box,) = find_objects((found | true).astype(np.uint8))  # all pixels of both surfaces lie in it
  first, second = (surface(region[box]) for region in (found, true))
  counted = np.ones_like(first) if counted is None else counted[box]
  to = [distance_transform_edt(~one, sampling=spacing) for one in (second, first)]
  return Distances(to[0][first & counted], to[1][second & counted])


def figures(
  found: np.ndarray, truth: np.ndarray, spacing: Sequence[float], classes: int
) -> dict[str, np.ndarray]:
  """Returns the surface figures of one example's class maps [*S], each [C].

  `hd95` is the 95 % Hausdorff distance, NaN where the class is missing from one of the two maps;
  `boundary_f1` is 0 there, and NaN where it is missing from both. In void pixels the truth is taken
  to be what was found, and no distance is taken from them.
  """
  void = truth == VOID
  filled, counted = np.where(void, found, truth), ~void
  diagonal = float(np.hypot.reduce(np.asarray(truth.shape) * spacing))
  tolerance = max(TOLERANCE * diagonal, float(np.max(spacing)))  # of a small image, one pixel
  rows = np.full((2, classes), np.nan)
  for kind in range(classes):
    one, other = found == kind, filled == kind
    apart = distances(one, other, spacing, counted)
    if apart is not None:
      rows[:, kind] = apart.hausdorff(), apart.f1(tolerance)
    elif (one | other).any():
      rows[1, kind] = 0
  return {"hd95": rows[0], "boundary_f1": rows[1]}


def summarise(rows: Mapping[str, np.ndarray], classes: int) -> dict[str, Any]:
  """Returns the mean surface figures over examples, of all classes and of each (`per_class`).

  A class's mean is over the examples that have the figure; `missed` counts those in which only one
  of the two maps has the class, which have no distance.

  Args:
    rows: of all examples: `segments` and `truth` [N, *S], `spacing` [N, D] and `mask` [N].
    classes: C.
  """
  from cnnjax.data.stream import by_threads

  real = np.flatnonzero(np.asarray(rows["mask"]) > 0)
  columns = [rows[key] for key in ("segments", "truth", "spacing")]
  each = by_threads(lambda n: figures(*(np.asarray(c[n]) for c in columns), classes), real)
  found = {key: np.stack([one[key] for one in each]) for key in ("hd95", "boundary_f1")}
  missed = (np.isnan(found["hd95"]) & ~np.isnan(found["boundary_f1"])).sum(0)
  means = {key: [_mean(of_class) for of_class in value.T] for key, value in found.items()}
  whole = {key: _mean(np.asarray(value, np.float64)) for key, value in means.items()}
  return {
    **{key: float("nan") if value is None else value for key, value in whole.items()},
    "missed": int(missed.sum()),
    "per_class": [
      {"hd95": h, "boundary_f1": f, "missed": int(n)} for h, f, n in zip(*means.values(), missed)
    ],
  }


def _mean(values: np.ndarray) -> float | None:
  there = values[~np.isnan(values)]
  return float(there.mean()) if len(there) else None
