"""Several curves in one picture."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from cnnjax.visualise.text import legend


def overlay(lines: dict[str, Sequence[tuple[float, float]]], *, xlabel: str, ylabel: str) -> Figure:
  """Draws lines {name: [(x, y), ..]}; names that differ only in digits share a colour.

  The first line of a colour is dashed, like the shallower networks in arXiv:1512.03385.
  """
  figure = Figure(figsize=(7, 4.5), layout="constrained")
  axes = figure.subplots()
  kinds: dict[str, int] = {}
  for name, points in lines.items():
    kind = "".join(c for c in name if not c.isdigit())
    style = "-" if kind in kinds else "--"
    color = f"C{kinds.setdefault(kind, len(kinds))}"
    axes.plot(*zip(*points), style, color=color, label=legend(name))
  axes.set(xlabel=xlabel, ylabel=ylabel)
  axes.grid(alpha=0.3)
  axes.legend()
  return figure
