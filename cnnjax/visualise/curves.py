"""How a run went."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure


def curves(rows: Sequence[dict[str, Any]], names: Sequence[str] = ("loss", "accuracy")) -> Figure:
  """Draws values of a metrics.jsonl by epoch, a line for each split."""
  figure = Figure(figsize=(5 * len(names), 3.5), layout="constrained")
  for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
    for split in dict.fromkeys(row["split"] for row in rows):
      points = [(r["epoch"], r[name]) for r in rows if r["split"] == split and name in r]
      if points:
        marker = "." if len(points) > 1 else "o"
        axes.plot(*zip(*points), marker=marker, label=split)
    axes.set(xlabel="epoch", ylabel=name)
    axes.grid(alpha=0.3)
    if axes.lines:
      axes.legend()
  return figure
