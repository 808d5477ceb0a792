"""A set of examples, held in memory or read as they are needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cnnjax.data.stream import Stream


@dataclass(frozen=True)
class Table:
  """Columns of one length by their batch key, such as image [N, H, W, C] and label [N].

  A table may have a `target` [N, T], float32, in place of a label.

  Attributes:
    columns: by their keys.
    classes: names of the classes that labels count, or of a target's numbers; () for none.
    names: of the examples, such as their files below the source's root, [N]; None for none.
    drawn: whether cnnjax drew the examples out of a larger table, by a seed.
    unread: how many files of each suffix lie in the source's folder and were not read.
  """

  columns: Mapping[str, np.ndarray | Stream]
  classes: tuple[str, ...] = ()
  names: np.ndarray | None = None
  drawn: bool = False
  unread: Mapping[str, int] = field(default_factory=dict)

  def __len__(self) -> int:
    return len(next(iter(self.columns.values())))

  @property
  def streamed(self) -> str:
    """What reads its batches, "threads" or "processes"; "" where all columns are in memory."""
    return next((c.by for c in self.columns.values() if isinstance(c, Stream)), "")

  @property
  def ragged(self) -> bool:
    """Whether examples have several shapes, and are scored one by one."""
    return any(isinstance(c, Stream) and c.ragged for c in self.columns.values())

  def take(self, indices: np.ndarray) -> "Table":
    """Returns the examples with these indices, in their order."""
    columns = {key: column.take(indices, 0) for key, column in self.columns.items()}
    names = None if self.names is None else self.names[indices]
    return replace(self, columns=columns, names=names)

  def draw(self, indices: np.ndarray) -> "Table":
    """Returns the examples with these indices, which a seed has drawn."""
    return replace(self.take(indices), drawn=True)

  def join(self, other: "Table") -> "Table":
    """Returns the examples of both, these first."""
    both = {
      key: c.join(other.columns[key])
      if isinstance(c, Stream)
      else np.concatenate([c, other.columns[key]])
      for key, c in self.columns.items()
    }
    named = self.names is not None and other.names is not None
    names = np.concatenate([self.names, other.names]) if named else None
    return replace(self, columns=both, names=names, drawn=self.drawn or other.drawn)

  def replace(self, **columns: np.ndarray | Stream) -> "Table":
    """Returns the table with some columns changed."""
    return replace(self, columns={**self.columns, **columns})
