"""Scatter plots of predicted numbers against true ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnjax.visualise.text import short


def pairs(
  prediction: np.ndarray,
  target: np.ndarray,
  names: Sequence[str],
  figures: Sequence[dict[str, Any]],
) -> Figure:
  """Draws prediction [N, T] over target [N, T], a panel for each of the T names.

  Args:
    prediction: in the targets' own units.
    target: in the same units; on the diagonal both are equal.
    names: of the targets.
    figures: of each target, which stand above its panel, such as `mae` and `r2`; None leaves one
      out.
  """
  columns = min(4, len(names))
  rows = -(-len(names) // columns)
  figure = Figure(figsize=(3.6 * columns, 3.6 * rows), layout="constrained")
  grid = figure.subplots(rows, columns, squeeze=False).ravel()
  for axes in grid[len(names) :]:
    axes.axis("off")
  for axes, name, x, y, of_one in zip(grid, names, target.T, prediction.T, figures):
    axes.scatter(x, y, s=9, alpha=0.5, linewidths=0)
    axes.axline((x.mean(), x.mean()), slope=1, color="grey", linestyle="--", linewidth=1)
    told = "  ".join(f"{k} {value:.3g}" for k, value in of_one.items() if value is not None)
    axes.set_title(f"{short(name)}\n{told}", fontsize=9, parse_math=False)
    axes.set(xlabel="true", ylabel="predicted")
    axes.grid(alpha=0.3)
  return figure
