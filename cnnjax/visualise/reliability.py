"""A reliability diagram: whether a classifier's confidence equals its accuracy."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure


def reliability(bins: Sequence[dict[str, Any]], error: float) -> Figure:
  """Draws the accuracy of each bin of confidence, and below that the number of its examples.

  Args:
    bins: `low, high, examples, confidence, accuracy`, from `metrics.calibration`.
    error: the expected calibration error.

  The red gap is the difference between a bin's confidence and its accuracy (arXiv:1706.04599,
  figure 1).
  """
  figure = Figure(figsize=(5, 6), layout="constrained")
  axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
  full = [b for b in bins if b["examples"]]
  low, width = [b["low"] for b in full], [b["high"] - b["low"] for b in full]
  accuracy = [b["accuracy"] for b in full]
  gap = [b["confidence"] - b["accuracy"] for b in full]
  axes.bar(low, accuracy, width, align="edge", edgecolor="black", label="accuracy")
  red = {"color": "tab:red", "alpha": 0.35, "edgecolor": "tab:red", "hatch": "//"}
  axes.bar(low, gap, width, accuracy, align="edge", label="gap to the confidence", **red)
  axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="calibrated")
  axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
  axes.set_title(f"expected calibration error {error:.4f}")
  axes.grid(alpha=0.3)
  figure.legend(loc="outside lower center", ncols=3)
  below.bar(low, [b["examples"] for b in full], width, align="edge", edgecolor="black")
  below.set(xlabel="confidence", ylabel="examples")
  below.grid(alpha=0.3)
  return figure
