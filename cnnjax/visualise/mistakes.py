"""A picture of a detector's errors, each on its part of the image, with the true boxes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from cnnjax.metrics.errors import Errors
from cnnjax.visualise.boxes import draw
from cnnjax.visualise.grid import grid

SHOWN = 6  # errors that are shown of each kind
WRONG, TRUE, FOUND = "red", "lime", "gold"
LEGEND = f"{WRONG}: the error; {TRUE}: what is there; {FOUND}: what else is found"
Columns = Mapping[str, np.ndarray]


def mistakes(
  parts: Mapping[str, Errors],
  image: Callable[[int], np.ndarray],
  found: Columns,
  truth: Columns,
  classes: Sequence[str],
) -> Figure:
  """Draws the worst errors of each kind, with one row for each kind.

  Args:
    parts: of `metrics.errors`.
    image: row -> its uint8 image [H, W, C].
    found: boxes [N, K, 4], labels, scores and valid [N, K]; valid ones are drawn.
    truth: boxes [N, P, 4], labels and valid [N, P].
    classes: names of the labels.
  """
  rows = {}
  for kind, errors in parts.items():
    of = truth if kind == "missed" else found
    drawn = [
      _piece(image(n), _boxes(of, n, place, found, truth, classes))
      for n, place, _ in list(zip(*errors))[:SHOWN]
    ]
    rows[f"{kind}\n{len(errors.images):,}"] = drawn
  figure = grid(rows, side=2.0)
  figure.suptitle(LEGEND, fontsize=9)
  return figure


def _boxes(of, row, place, found, truth, classes):
  """Returns (box, colour, text) of each box to draw in an image, the error first."""
  told = f" {of['scores'][row, place]:.2f}" if "scores" in of else ""
  boxes = [(of["boxes"][row, place], WRONG, classes[of["labels"][row, place]] + told)]
  for columns, colour in ((truth, TRUE), (found, FOUND)):
    for other in np.flatnonzero(columns["valid"][row] > 0):
      if columns is not of or other != place:
        text = classes[columns["labels"][row, other]] if columns is truth else ""
        boxes.append((columns["boxes"][row, other], colour, text))
  return boxes


def _piece(image, boxes):
  """Returns the part of an image around the first box, and the boxes clipped to it."""
  error, size = boxes[0][0], np.asarray(image.shape[1::-1])
  half = np.maximum(np.max(error[2:] - error[:2]), np.max(size) / 4)
  centre = (error[:2] + error[2:]) / 2
  low = np.clip(np.floor(centre - half), 0, np.maximum(size - 2 * half, 0)).astype(int)
  high = np.minimum(np.ceil(low + 2 * half), size).astype(int)
  inside = [b for b in boxes if (b[0][2:] > low).all() and (b[0][:2] < high).all()]
  places, colours, texts = zip(*(inside or boxes[:1]))
  piece = image[low[1] : high[1], low[0] : high[0]]
  return draw(piece, np.asarray(places) - np.tile(low, 2), colours, texts, side=240)
