"""Curves of a run: loss and metrics by epoch."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from cnnjax.visualise.text import legend


def curves(rows: Sequence[dict[str, Any]], names: Sequence[str] = ("loss", "accuracy")) -> Figure:
  """Draws the named values of a metrics.jsonl by epoch, with a line for each split."""
  columns = min(3, len(names))
  lines = -(-len(names) // columns)
  figure = Figure(figsize=(5 * columns, 3.5 * lines), layout="constrained")
  panels = figure.subplots(lines, columns, squeeze=False).ravel()
  for axes in panels[len(names) :]:
    axes.remove()
  for axes, name in zip(panels, names):
    for split in dict.fromkeys(row["split"] for row in rows):
      points = [(r["epoch"], r[name]) for r in rows if r["split"] == split and name in r]
      if points:
        marker = "." if len(points) > 1 else "o"
        axes.plot(*zip(*points), marker=marker, label=legend(split))
    axes.set(xlabel="epoch", ylabel=name)
    axes.grid(alpha=0.3)
    if axes.lines:
      axes.legend()
  return figure
