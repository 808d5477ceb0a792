"""A bubble chart: two figures of each thing are its position, a third is its area."""

from itertools import product

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from matplotlib.transforms import Bbox

AREA = 14.0  # square points for one unit of size
WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))


def balls(
  points: dict[str, tuple[float, float, float]], *, xlabel: str, ylabel: str, unit: str
) -> Figure:
  """Draws points {name: (x, y, size)} as discs with their names, x on a logarithmic scale.

  Canziani, Paszke and Culurciello (arXiv:1605.07678) drew the cost, accuracy and parameters of
  networks in this way.
  """
  figure = Figure(figsize=(10, 6.5), layout="constrained")
  axes = figure.subplots()
  x, y, size = zip(*points.values())
  axes.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
  axes.margins(0.12)
  axes.scatter(x, y, [AREA * s for s in size], c=range(len(x)), cmap="turbo", alpha=0.4, lw=0)
  axes.scatter(x, y, 8, color="black")
  axes.grid(alpha=0.3)
  axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
  axes.xaxis.set_major_formatter("{x:g}")
  axes.xaxis.set_minor_locator(NullLocator())
  for example in (5, 50, 150):
    axes.scatter([], [], AREA * example, color="grey", alpha=0.4, lw=0, label=f"{example} {unit}")
  spaces = dict(labelspacing=3.2, borderpad=2, handletextpad=2.4)
  axes.legend(loc="lower right", frameon=False, **spaces)
  _label(figure, axes, {name: (px, py) for name, (px, py, _) in points.items()})
  return figure


def _label(figure, axes, places):
  """Writes each name near its point, where it covers no other point and no earlier name."""
  figure.draw_without_rendering()
  pixels = axes.transData.transform(list(places.values()))
  taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in pixels]
  for name, place in places.items():
    for distance, (dx, dy) in product((6, 12, 20, 30, 42), WAYS):
      offset = dict(xytext=(distance * dx, distance * dy), textcoords="offset points")
      ways = dict(ha=("center", "left", "right")[dx], va=("center", "bottom", "top")[dy])
      text = axes.annotate(name, place, fontsize=9, **offset, **ways)
      box = text.get_window_extent().padded(1)
      inside = axes.bbox.containsx(box.x1) and axes.bbox.containsy(box.y1)
      if inside and not any(box.overlaps(other) for other in taken):
        break
      text.remove()
    else:  # there is no free position
      axes.annotate(name, place, fontsize=9, **offset, **ways)
    if distance > 6:  # too far away without a line to its point
      line = dict(arrowstyle="-", lw=0.5, color="grey", shrinkA=0, shrinkB=0)
      axes.annotate("", place, arrowprops=line, **offset)
    taken.append(box)
