"""What is in the data: how many examples of what, by split."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnjax.data.table import Table


def describe(splits: Mapping[str, Table]) -> dict[str, dict[str, Any]]:
  """Returns by split its number of `examples`, and what they are of.

  `counts` [C] of each class; of several labels, targets of 0 and 1 alone, those that have it; of
  other targets the `mean`, deviation (`std`), `min` and `max` [T]; of boxes how many of each class
  (`boxes` [C]).
  """
  targets = [t.columns["target"] for t in splits.values() if "target" in t.columns]
  flags = all(np.isin(target, (0, 1)).all() for target in targets)
  return {split: {"examples": len(t), **_of(t, flags)} for split, t in splits.items()}


def _of(table: Table, flags: bool) -> dict[str, list]:
  if "label" in table.columns:
    counts = np.bincount(table.columns["label"], minlength=len(table.classes))
    return {"counts": counts.tolist()}
  if "boxes" in table.columns:
    labels = table.columns["labels"][table.columns["valid"] > 0]
    return {"boxes": np.bincount(labels, minlength=len(table.classes)).tolist()}
  if "target" not in table.columns:
    return {}
  target = table.columns["target"].astype(np.float64)
  if flags:
    return {"counts": target.sum(0).astype(int).tolist()}
  return {name: getattr(target, name)(0).tolist() for name in ("mean", "std", "min", "max")}
