"""A picture of a confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
  """Draws counts [true, predicted]; colours show shares of the true class, numbers the counts."""
  counts = np.asarray(counts)
  n = len(counts)
  side = min(14.0, max(4.0, 1.5 + 0.5 * n))
  figure = Figure(figsize=(side, side))
  axes = figure.subplots()
  share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
  axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
  axes.set(xlabel="predicted", ylabel="true", xticks=range(n), yticks=range(n))
  axes.set_xticklabels(classes, rotation=90 if max(map(len, classes)) > 2 else 0, parse_math=False)
  axes.set_yticklabels(classes, parse_math=False)
  axes.set_title(f"{np.trace(counts):,} of {counts.sum():,} right")
  if n <= 30:
    for (row, column), count in np.ndenumerate(counts):
      if count:
        ink = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}", ha="center", va="center", color=ink, fontsize=8)
  return figure
