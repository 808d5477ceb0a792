"""A set of examples held in memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Table:
  """Columns of one length by their batch key, such as image [N, H, W, C] and label [N].

  Instead of a label there may be a `target` [N, T], float32: numbers, of which `classes` are the
  names; else these name what the labels count, and are empty where there are none.
  """

  columns: Mapping[str, np.ndarray]
  classes: tuple[str, ...] = ()

  def __len__(self) -> int:
    return len(next(iter(self.columns.values())))

  def take(self, places: np.ndarray) -> "Table":
    """Returns the examples at these places, in their order."""
    return Table({key: column[places] for key, column in self.columns.items()}, self.classes)

  def join(self, other: "Table") -> "Table":
    """Returns the examples of both, these first."""
    both = {key: np.concatenate([c, other.columns[key]]) for key, c in self.columns.items()}
    return Table(both, self.classes)

  def replace(self, **columns: np.ndarray) -> "Table":
    """Returns the table with some columns changed."""
    return Table({**self.columns, **columns}, self.classes)
