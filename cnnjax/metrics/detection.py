"""PASCAL VOC's average precision of boxes (by the devkits of 2007 and 2010)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Columns = Mapping[str, np.ndarray]
PART = 64  # images that are matched at a time: all pairs of their boxes are in memory


def summarise(
  found: Columns, truth: Columns, classes: Sequence[str], threshold: float = 0.5
) -> dict[str, Any]:
  """Returns the classes' average precision and its mean, by area (2010) and at 11 points (2007).

  Args:
    found: boxes [N, K, 4], labels, scores and valid [N, K] of N images, in any order.
    truth: boxes [N, P, 4], labels and valid [N, P], and maybe difficult or crowd [N, P]: such boxes
      need not be found, and detections of them do not count.
    classes: names of the classes that labels count.
    threshold: least overlap of a hit.

  A detection whose score or box is not finite is none.

  Boxes are (x0, y0, x1, y1) with x1 - x0 their width: the devkit's xmin is x0 + 1. A class without
  a box to find has no average precision (None), and is left out of the means.
  """
  each = []
  for name, (won, total) in zip(classes, rankings(found, truth, len(classes), threshold)):
    recall, precision = curve(won, total)
    area, points = (f(recall, precision) for f in (by_area, by_points))
    each.append(
      {
        "name": name,
        "ap": area if total else None,
        "ap_2007": points if total else None,
        "boxes": total,
        "found": int(won.sum()),
        "detections": len(won),
      }
    )
  return {
    "map": _mean([c["ap"] for c in each]),
    "map_2007": _mean([c["ap_2007"] for c in each]),
    "per_class": each,
  }


def match(found: Columns, truth: Columns, *, other: bool = False) -> tuple[np.ndarray, np.ndarray]:
  """Returns the index of the true box of its class that each detection overlaps most, and the IoU.

  Both are [N, K]. Where the image has no box of the class, the index is 0 and the IoU -1. With
  `other` only true boxes of other classes are considered.
  """
  count, places = found["labels"].shape
  nearest, most = np.zeros((count, places), np.int64), np.full((count, places), -1.0)
  if truth["labels"].shape[1]:
    for start in range(0, count, PART):
      at = slice(start, start + PART)
      overlap = overlaps(found["boxes"][at], truth["boxes"][at])
      same = found["labels"][at][:, :, None] == truth["labels"][at][:, None]
      overlap = np.where((same != other) & (truth["valid"][at] > 0)[:, None], overlap, -1.0)
      nearest[at], most[at] = overlap.argmax(2), overlap.max(2)
  return nearest, most


def outcomes(
  found: Columns, truth: Columns, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
  """Returns which detections are hits, and which are misses, each bool [N, K].

  A true box is hit once, by the detection with the highest score among those that overlap it most;
  the others are misses. A detection of a special box is neither.
  """
  nearest, overlap = match(found, truth)
  there, count = present(found), truth["labels"].shape[1]
  hits, near = np.zeros_like(there), there & (overlap >= threshold)
  if not count:
    return hits, there
  ignored = near & np.take_along_axis(special(truth), nearest, 1)
  rows, places = np.nonzero(near & ~ignored)
  order = np.argsort(-found["scores"][rows, places], kind="stable")
  rows, places = rows[order], places[order]
  first = np.unique(rows * count + nearest[rows, places], return_index=True)[1]
  hits[rows[first], places[first]] = True
  return hits, there & ~hits & ~ignored


def rankings(
  found: Columns, truth: Columns, classes: int, threshold: float = 0.5
) -> list[tuple[np.ndarray, int]]:
  """Returns for each class which detections, best first, are hits [R], and the number of its boxes.

  Special boxes, and detections of them, do not count.
  """
  hits, misses = outcomes(found, truth, threshold)
  wanted = truth["labels"][(truth["valid"] > 0) & ~special(truth)]
  each = []
  for label in range(classes):
    rows, places = np.nonzero((hits | misses) & (found["labels"] == label))
    order = np.argsort(-found["scores"][rows, places], kind="stable")
    each.append((hits[rows, places][order], int((wanted == label).sum())))
  return each


def present(columns: Columns) -> np.ndarray:
  """Returns which boxes there are, bool [N, P]: valid ones, with a finite box and score."""
  there = np.asarray(columns["valid"]) > 0
  finite = np.isfinite(np.asarray(columns["boxes"])).all(-1)
  return there & finite & np.isfinite(columns.get("scores", 0.0))


def special(truth: Columns) -> np.ndarray:
  """Returns which boxes need not be found, bool [N, P]: those marked as difficult or crowd."""
  none = np.zeros(truth["labels"].shape)
  return (truth.get("difficult", none) > 0) | (truth.get("crowd", none) > 0)


def curve(won: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns recall and precision [R] after each detection, best first, with `total` true boxes."""
  hits = np.cumsum(won)
  return hits / max(total, 1), hits / np.arange(1, len(won) + 1)


def by_area(recall: np.ndarray, precision: np.ndarray) -> float:
  """Returns the area under the curve, after it is made falling (VOC 2010 and later)."""
  recall, precision = falling(recall, precision)
  return float(np.sum(np.diff(recall) * precision[1:]))


def falling(recall: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the curve from recall 0 to 1, each precision the highest at its or a higher recall."""
  recall, precision = np.concatenate([[0], recall, [1]]), np.concatenate([[0], precision, [0]])
  return recall, np.maximum.accumulate(precision[::-1])[::-1]


def by_points(recall: np.ndarray, precision: np.ndarray) -> float:
  """Returns the mean of the highest precisions at recalls of at least 0, 0.1 ... 1 (VOC 2007)."""
  levels = np.arange(11) / 10
  return float(np.mean([precision[recall >= t].max(initial=0) for t in levels]))


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Returns the IoU [N, K, P] of boxes [N, K, 4] with [N, P, 4], 0 where the union is empty."""
  a, b = a[:, :, None].astype(np.float64), b[:, None].astype(np.float64)
  with np.errstate(invalid="ignore"):  # of boxes that are not finite, and count as none
    side = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = np.prod(np.maximum(side, 0), -1)
    union = np.prod(a[..., 2:] - a[..., :2], -1) + np.prod(b[..., 2:] - b[..., :2], -1) - both
    return both / np.where(union > 0, union, np.inf)


def _mean(values: list[float | None]) -> float | None:
  there = [value for value in values if value is not None]
  return float(np.mean(there)) if there else None
