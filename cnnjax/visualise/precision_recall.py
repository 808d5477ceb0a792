"""Precision-recall curves of a detector's classes."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from cnnjax.visualise.text import legend

NAMED = 20  # classes in the legend


def precision_recall(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str) -> Figure:
  """Draws a step curve for each class, with its area; of many classes it names the worst ones.

  Args:
    curves: recall and precision [R] by class, from recall 0 to 1, falling, so that the area below
      is the average precision.
    title: of the picture.
  """
  areas = {name: float(np.sum(np.diff(r) * p[1:])) for name, (r, p) in curves.items()}
  ranked = sorted(curves, key=areas.get)
  figure = Figure(figsize=(7, 4.5), layout="constrained")
  axes = figure.subplots()
  for place, name in enumerate(ranked):
    label = f"{legend(name)}  {areas[name]:.3f}" if place < NAMED else None
    style = {"color": f"C{place % 10}", "linestyle": ("-", "--")[place // 10 % 2]}
    style = style if label else {"color": "0.8", "zorder": 1}
    axes.step(*curves[name], where="pre", linewidth=1.2, label=label, **style)
  axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=title)
  axes.grid(alpha=0.3)
  if ranked:
    more = f"\nlowest {NAMED} of {len(ranked)}" if len(ranked) > NAMED else ""
    head = f"average precision{more}"
    figure.legend(loc="outside right upper", fontsize=8, title=head, title_fontsize=8)
  return figure
