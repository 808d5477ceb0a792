"""A picture of a classifier of points in the plane: its answers over a square."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure


class Surface(NamedTuple):
  """Answers over the square from 0 to 255, and points in it.

  Attributes:
    probability: of class 1 [H, W], with the first row at y = 0.
    points: [N, 2] as (x, y).
    label: classes [N] of the points, 0 or 1.
  """

  probability: np.ndarray
  points: np.ndarray
  label: np.ndarray


def surfaces(panels: dict[str, Surface]) -> Figure:
  """Draws surfaces side by side: class 0 orange, class 1 blue, with a line at probability 1/2."""
  figure = Figure(figsize=(3.2 * len(panels), 3.4), layout="constrained")
  places = figure.subplots(1, len(panels), squeeze=False)[0]
  for axes, (title, panel) in zip(places, panels.items()):
    extent = (-0.5, 255.5, -0.5, 255.5)
    axes.imshow(panel.probability, "PuOr", vmin=-0.7, vmax=1.7, origin="lower", extent=extent)
    axes.contour(panel.probability, [0.5], colors="black", linewidths=1, extent=extent)
    colors = np.where(panel.label, "navy", "darkorange")
    axes.scatter(*panel.points.T, s=9, c=colors, edgecolors="white", linewidths=0.4)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)
  return figure
