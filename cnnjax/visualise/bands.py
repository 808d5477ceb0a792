"""Curves of several runs each: their mean, and a band from the lowest to the highest."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cnnjax.visualise.text import legend


def bands(lines: dict[str, np.ndarray], x: Sequence[float], *, xlabel: str, ylabel: str) -> Figure:
  """Draws lines {name: values [runs, len(x)]} over x: the mean of the runs, in a band of all."""
  figure = Figure(figsize=(6, 4), layout="constrained")
  axes = figure.subplots()
  for name, values in lines.items():
    (line,) = axes.plot(x, values.mean(0), marker=".", label=legend(name))
    axes.fill_between(x, values.min(0), values.max(0), color=line.get_color(), alpha=0.2)
  axes.set(xlabel=xlabel, ylabel=ylabel)
  axes.grid(alpha=0.3)
  axes.legend()
  return figure
