"""A set of examples, held in memory or read as they are needed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cnnjax.data.stream import Stream


@dataclass(frozen=True)
class Table:
  """Columns of one length by their batch key, such as image [N, H, W, C] and label [N].

  `classes` are the names of the classes that labels count. A table may have a `target` [N, T],
  float32, in place of a label; then `classes` are the names of its numbers. Without names it is
  empty.
  """

  columns: Mapping[str, np.ndarray | Stream]
  classes: tuple[str, ...] = ()

  def __len__(self) -> int:
    return len(next(iter(self.columns.values())))

  @property
  def streamed(self) -> str:
    """What reads its batches, "threads" or "processes"; "" where all columns are in memory."""
    return next((c.by for c in self.columns.values() if isinstance(c, Stream)), "")

  def take(self, indices: np.ndarray) -> "Table":
    """Returns the examples with these indices, in their order."""
    return Table(
      {key: column.take(indices, 0) for key, column in self.columns.items()}, self.classes
    )

  def join(self, other: "Table") -> "Table":
    """Returns the examples of both, these first."""
    both = {
      key: c.join(other.columns[key])
      if isinstance(c, Stream)
      else np.concatenate([c, other.columns[key]])
      for key, c in self.columns.items()
    }
    return Table(both, self.classes)

  def replace(self, **columns: np.ndarray | Stream) -> "Table":
    """Returns the table with some columns changed."""
    return Table({**self.columns, **columns}, self.classes)
