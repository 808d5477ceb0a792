"""The pictures of an evaluation, for each task."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnjax.data.table import Table
from cnnjax.metrics.detection import curve, falling, present, rankings
from cnnjax.metrics.errors import Errors
from cnnjax.visualise.confusion import confusion
from cnnjax.visualise.curves import curves
from cnnjax.visualise.mistakes import mistakes
from cnnjax.visualise.pairs import pairs
from cnnjax.visualise.precision_recall import precision_recall
from cnnjax.visualise.reliability import reliability

Pictures = Iterator[tuple[str, Figure]]


def of_training(rows: Sequence[dict[str, Any]]) -> Pictures:
  """Yields losses.png: the loss and its parts by epoch, from a run's rows."""
  parts = dict.fromkeys(key for row in rows for key in row if key.endswith("_loss"))
  if rows:
    yield "losses.png", curves(rows, ("loss", *parts))


def of_figures(figures: dict[str, Any], names: Sequence[str]) -> Pictures:
  """Yields calibration.png and confusion.png for classes, pairs.png for numbers."""
  if "calibration" in figures:
    error = figures["expected_calibration_error"]
    yield "calibration.png", reliability(figures["calibration"], error)
  if "pairs" in figures:
    told = [{k.upper(): one[k] for k in ("mae", "r2")} for one in figures["per_target"]]
    yield "pairs.png", pairs(**figures["pairs"], names=names, figures=told)
  if "confusion" in figures:
    yield "confusion.png", confusion(figures["confusion"], names)


def of_boxes(
  found: Mapping[str, np.ndarray],
  truth: Mapping[str, np.ndarray],
  table: Table,
  parts: Mapping[str, Errors],
  least: float,
) -> Pictures:
  """Yields precision_recall.png and errors.png of a detector.

  Args:
    found: boxes, labels, scores and valid, with a row for each image of the table.
    truth: boxes, labels and valid.
    table: of the images.
    parts: the errors, from `metrics.errors`.
    least: smallest score of the detections that are drawn on the images.
  """
  ranked = zip(table.classes, rankings(found, truth, len(table.classes)))
  lines = {name: falling(*curve(*one)) for name, one in ranked if one[1]}
  yield "precision_recall.png", precision_recall(lines, "boxes found by an overlap of 0.5")
  seen = {**found, "valid": present(found) & (found["scores"] >= least)}
  images = table.columns["image"]
  figure = mistakes(parts, lambda row: images[np.asarray([row])][0], seen, truth, table.classes)
  yield "errors.png", figure
