"""Pictures of a hyper-parameter search: its history, and the importance of the parameters."""

import numpy as np
from matplotlib.figure import Figure


def history(
  finished: dict[int, float], pruned: dict[int, float], *, metric: str, mode: str
) -> Figure:
  """Draws the metric of each trial, and the best value of all trials finished so far.

  Args:
    finished: {trial: value} of trials that were trained to their end.
    pruned: {trial: last value} of trials that were pruned.
    metric: name of the metric.
    mode: "max" where higher is better, "min" where lower is.
  """
  figure = Figure(figsize=(7, 4.5), layout="constrained")
  axes = figure.subplots()
  best = np.maximum if mode == "max" else np.minimum
  numbers = sorted(finished)
  values = [finished[n] for n in numbers]
  axes.step(numbers, best.accumulate(values), where="post", color="C1", label="best so far")
  axes.scatter(numbers, values, zorder=2, label="finished")
  if pruned:
    axes.scatter(pruned.keys(), pruned.values(), marker="x", color="grey", label="given up")
  axes.set(xlabel="trial", ylabel=metric)
  axes.xaxis.get_major_locator().set_params(integer=True)
  axes.grid(alpha=0.3)
  axes.legend()
  return figure


def importance(shares: dict[str, float], title: str) -> Figure:
  """Draws the importance {parameter: share} of parameters as bars, with the largest on top."""
  figure = Figure(figsize=(7, 1 + 0.4 * len(shares)), layout="constrained")
  axes = figure.subplots()
  names = sorted(shares, key=shares.get)
  bars = axes.barh(range(len(names)), [shares[name] for name in names])
  axes.bar_label(bars, fmt="%.2f", padding=3)
  axes.set_yticks(range(len(names)), names, parse_math=False)
  axes.set(title=title, xlabel="share of the importance", xlim=(0, 1.1))
  axes.grid(alpha=0.3, axis="x")
  return figure
