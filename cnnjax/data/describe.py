"""A description of the data: how many examples each split has, and of which classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnjax.data.masks import pixels
from cnnjax.data.table import Table


def describe(splits: Mapping[str, Table]) -> dict[str, dict[str, Any]]:
  """Returns for each split its number of `examples`, and figures of its labels.

  For classes these are `counts` [C], the examples of each class; for targets that are all 0 or 1,
  `counts` of the examples that have each label; for other targets the `mean`, standard deviation
  (`std`), `min` and `max` [T]; for boxes the number of boxes of each class (`boxes` [C]), for class
  maps that of pixels (`pixels` [C]).
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
  if "segments" in table.columns:
    return {"pixels": pixels(table.columns["segments"], len(table.classes)).tolist()}
  if "target" not in table.columns:
    return {}
  target = table.columns["target"].astype(np.float64)
  if flags:
    return {"counts": target.sum(0).astype(int).tolist()}
  return {name: getattr(target, name)(0).tolist() for name in ("mean", "std", "min", "max")}
