"""A roofline: the speed of a program's parts, and the highest speed that the machine allows."""

import numpy as np
from matplotlib.figure import Figure

from cnnjax.visualise.text import legend


def roofline(points: dict[str, tuple[float, float]], *, flops: float, bandwidth: float) -> Figure:
  """Draws points {name: (operations per byte, operations per second)} under the machine's roof.

  Args:
    points: of parts of a program.
    flops: highest number of operations per second.
    bandwidth: highest number of bytes per second, the limit to the left of the roof's bend.

  Williams, Waterman and Patterson, "Roofline", Comm. ACM 52(4), 2009.
  """
  figure = Figure(figsize=(8, 5.5), layout="constrained")
  axes = figure.subplots()
  bend = flops / bandwidth
  low = min([bend / 30, *(x / 3 for x, _ in points.values())])
  x = np.geomspace(low, max([bend * 30, *(3 * x for x, _ in points.values())]), 200)
  axes.plot(x, np.minimum(flops, bandwidth * x) / 1e9, color="black")
  label = f"{flops / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s"
  axes.annotate(label, (x[-1], flops / 1e9), ha="right", va="bottom")
  for name, (intensity, reached) in points.items():
    axes.scatter(intensity, reached / 1e9, label=f"{legend(name)}: {reached / 1e9:.0f}")
  axes.set(xscale="log", yscale="log", xlabel="operations a byte", ylabel="GFLOP/s")
  axes.grid(alpha=0.3)
  axes.legend(loc="lower right", frameon=False)
  return figure
