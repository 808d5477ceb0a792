"""A picture of a confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cnnjax.visualise.text import short

COUNTED, NAMED = 30, 100  # classes whose cells have room for a number, and whose lines for a name


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
  """Draws counts [true, predicted]; colours show shares of the true class, numbers the counts.

  Of many classes there are no numbers, and of very many no names.
  """
  counts = np.asarray(counts)
  n, names = len(counts), [short(name) for name in classes]
  side = min(14.0, max(4.0, 1.5 + 0.5 * n))
  figure = Figure(figsize=(side, side))
  axes = figure.subplots()
  share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
  axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
  axes.set(xlabel="predicted", ylabel="true")
  if n <= NAMED:
    upright = max(map(len, names)) <= 2
    axes.set_xticks(range(n), names, rotation=0 if upright else 90, parse_math=False)
    axes.set_yticks(range(n), names, parse_math=False)
  axes.set_title(f"{np.trace(counts):,} of {counts.sum():,} right")
  if n <= COUNTED:
    for (row, column), count in np.ndenumerate(counts):
      if count:
        ink = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}", ha="center", va="center", color=ink, fontsize=8)
  return figure
