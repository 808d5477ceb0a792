"""Batches of tables: a function of (seed, step) for training, padded and masked for evaluation."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np

from cnnjax.data.sampling import epochs
from cnnjax.data.stream import read_ahead
from cnnjax.data.table import Table
from cnnjax.errors import UserError

Batch = dict[str, Any]
ByStep = Callable[[int], np.ndarray]
FAR = 2**62  # a step that no training reaches


def train_indices(
  table: Table,
  batch_size: int,
  seed: int,
  rows: np.ndarray | None = None,
  sampling: str = "uniform",
) -> ByStep:
  """Returns k -> the indices [B] in the table of the examples of batch k.

  They are entries kB to (k+1)B of the orders of all epochs, concatenated.

  Args:
    table: of examples.
    batch_size: B, over all hosts.
    seed: of the orders.
    rows: of each batch that this host holds; all by default.
    sampling: of `sampling.epochs`.

  Raises: UserError for a table smaller than one batch, and for a sampling that the table does not
    allow.
  """
  if len(table) < batch_size:
    raise UserError(
      f"the training split holds {len(table)} examples, fewer than one batch of {batch_size}; "
      f"set data.batch_size to {len(table)} or less"
    )
  n = len(table)
  rows = np.arange(batch_size) if rows is None else rows

  order = epochs(table, seed, sampling)

  def indices(step: int) -> np.ndarray:
    line = step * batch_size + rows
    first, last = line[0] // n, line[-1] // n
    if first == last:
      return _recent(order, int(first))[line % n]
    orders = [_recent(order, int(epoch)) for epoch in (first, last)]
    return np.where(line // n == first, *(order[line % n] for order in orders))

  return indices


def train_epochs(table: Table, batch_size: int, rows: np.ndarray | None = None) -> ByStep:
  """Returns k -> [B], the epoch that each example of batch k belongs to.

  Args:
    table: of examples.
    batch_size: B, over all hosts.
    rows: of each batch that this host holds; all by default.
  """
  count, rows = len(table), np.arange(batch_size) if rows is None else rows
  return lambda step: (step * batch_size + rows) // count


def train_mirrored(
  table: Table,
  indices: ByStep,
  batch_size: int,
  seed: int,
  rows: np.ndarray | None = None,
) -> ByStep:
  """Returns k -> bool [B]: which examples of batch k to mirror, each in every other epoch.

  In the first epoch half of the examples, drawn by the seed, are mirrored (arXiv:2404.00498).

  Args:
    table: of examples.
    indices: of `train_indices`, for the same table, batch size, seed and rows.
    batch_size: B, over all hosts.
    seed: of the run.
    rows: of each batch that this host holds; all by default.
  """
  n = len(table)
  rows = np.arange(batch_size) if rows is None else rows
  # Seeds of the orders are [seed, epoch]; this one differs from all of them.
  at_first = np.random.default_rng([seed, 0, 1]).permutation(n) % 2

  def turns(step: int) -> np.ndarray:
    epoch = (step * batch_size + rows) // n
    return (at_first[indices(step)] + epoch) % 2 == 1

  return turns


@lru_cache(maxsize=4)
def _recent(order: Callable[[int], np.ndarray], epoch: int) -> np.ndarray:
  """Returns order(epoch), cached here: a function with a cache cannot be sent to a process."""
  return order(epoch)


class Batches:
  """batches(k) is the training batch of step k; for consecutive steps, streams read ahead.

  Args:
    table: of examples.
    indices: step -> indices of its examples, from `train_indices`.
    more: further columns by name, each a function step -> [B], such as `train_mirrored`.
  """

  def __init__(self, table: Table, indices: ByStep, more: Mapping[str, ByStep] = {}):
    self.make = partial(_batch, table.columns, indices, more)
    self.streamed = table.streamed
    self.reading, self.next = None, None

  def __call__(self, step: int) -> Batch:
    if not self.streamed:
      return self.make(step)
    if step != self.next:
      self.close()
      self.reading = read_ahead(self.make, step, FAR, self.streamed)
    self.next = step + 1
    return next(self.reading)

  def close(self) -> None:
    """Ends reading ahead; the next batch begins it again."""
    if self.reading:
      self.reading.close()
    self.reading = self.next = None


def _batch(
  columns: Mapping[str, Any], indices: ByStep, more: Mapping[str, ByStep], step: int
) -> Batch:
  return gather(columns, indices(step), **{name: column(step) for name, column in more.items()})


def gather(columns: Mapping[str, Any], indices: Any, **more: Any) -> Batch:
  """Returns a full batch of the examples at these indices, and `more`, on the host or a device.

  With `epoch` [B], the examples of a column that draws them are those of these epochs.
  """
  epochs = more.pop("epoch", None)
  batch = {
    key: column[indices] if epochs is None or not draws(column) else column.drawn(indices, epochs)
    for key, column in columns.items()
  }
  return {**batch, **more, "mask": np.ones(len(indices), np.float32)}


def draws(column: Any) -> bool:
  """Returns whether a column gives a training other examples than an evaluation."""
  return bool(getattr(column, "draw", None))


def eval_batches(table: Table, batch_size: int, rows: np.ndarray | None = None) -> Iterator[Batch]:
  """Yields every example once, in order; the last batch is padded, its padding masked out.

  A host reads only its `rows` of each batch, in rising order; all by default. Of a table whose
  examples have several shapes each host reads all, one by one.
  """
  if table.ragged:
    batch_size, rows = 1, None
  rows = np.arange(batch_size) if rows is None else rows

  def batch(number: int) -> Batch:
    indices = number * batch_size + rows
    there = indices[indices < len(table)]
    return pad({key: column[there] for key, column in table.columns.items()}, len(rows))

  count = -(-len(table) // batch_size)
  yield from read_ahead(batch, 0, count) if table.streamed else map(batch, range(count))


def pad(columns: dict[str, np.ndarray], size: int) -> Batch:
  """Returns columns padded with zeros to `size` rows, and the mask, 1 for real rows."""
  count = len(next(iter(columns.values())))
  filled = {
    key: np.pad(column, [(0, size - count)] + [(0, 0)] * (column.ndim - 1))
    for key, column in columns.items()
  }
  return {**filled, "mask": (np.arange(size) < count).astype(np.float32)}
