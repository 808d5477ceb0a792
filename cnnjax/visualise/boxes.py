"""Boxes drawn on their images, with names and scores."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def draw(
  axes: Axes,
  image: np.ndarray,
  boxes: np.ndarray,
  labels: Sequence[int],
  classes: Sequence[str],
  scores: Sequence[float] = (),
) -> None:
  """Draws a uint8 image [H, W, 1 or 3] and boxes [K, 4] in its pixels, a colour a class."""
  height, width = image.shape[:2]
  extent = (0, width, height, 0)  # so that pixel i spans i to i + 1, as boxes count
  axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, extent=extent)
  axes.axis("off")
  for n, (x0, y0, x1, y1) in enumerate(boxes):
    colour = f"C{labels[n] % 10}"
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1))
    text = classes[labels[n]] + (f" {scores[n]:.2f}" if len(scores) else "")
    box = {"facecolor": colour, "edgecolor": "none", "pad": 0.5, "alpha": 0.7}
    axes.text(x0, y0, text, fontsize=6, color="white", va="bottom", bbox=box, parse_math=False)
  axes.set(xlim=(0, width), ylim=(height, 0))


def sheet(
  images: Sequence[np.ndarray],
  boxes: Sequence[np.ndarray],
  labels: Sequence[Sequence[int]],
  classes: Sequence[str],
  scores: Sequence[Sequence[float]] = (),
) -> Figure:
  """Draws images side by side, each with its boxes [K, 4], labels [K] and maybe scores [K]."""
  columns = min(len(images), 3)
  rows = -(-len(images) // columns)
  figure = Figure(figsize=(4.5 * columns, 3.6 * rows), layout="constrained")
  grid = figure.subplots(rows, columns, squeeze=False).ravel()
  for axes in grid[len(images) :]:
    axes.axis("off")
  for n, (axes, image) in enumerate(zip(grid, images)):
    draw(axes, image, boxes[n], labels[n], classes, scores[n] if scores else ())
  return figure
