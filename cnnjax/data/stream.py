"""Columns whose rows are read when a batch needs them, and reading ahead of their use."""

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from typing import Any

import numpy as np

from cnnjax.errors import UserError, unknown

BY = ("", "threads", "processes")  # what reads batches; "": all is read into memory at the start
PART = 64  # rows that a thread reads at a time: one task for each row would take longer


@dataclass(frozen=True)
class Stream:
  """A column [N, ...] that stays where it is; `stream[indices]` reads some of its rows.

  Attributes:
    read: indices in the source [B] -> their rows [B, ...].
    indices: indices [N] in the source of the column's rows.
    row: shape of a row, of the largest one where they have several.
    by: "threads" or "processes", which read the batches of a training.
    changes: functions of rows, applied one after the other to the rows that are read.
    draw: (indices in the source [B], epochs [B]) -> rows [B, ...] of a training, which may differ
      from epoch to epoch, in shape from `row` too; None where they are those of `read`.
    ragged: whether rows have several shapes; then they are read one by one.
    dtype: of the rows.
  """

  read: Callable[[np.ndarray], np.ndarray]
  indices: np.ndarray
  row: tuple[int, ...]
  by: str = "threads"
  changes: tuple[Callable[[np.ndarray], np.ndarray], ...] = ()
  draw: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
  ragged: bool = False
  dtype: np.dtype = np.dtype(np.uint8)

  def __len__(self) -> int:
    return len(self.indices)

  def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
    return self._changed(self.read(self.indices[index]))

  def drawn(self, index: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Returns the rows that a training sees in these epochs."""
    return self._changed(self.draw(self.indices[index], epochs))

  def _changed(self, rows: np.ndarray) -> np.ndarray:
    for change in self.changes:
      rows = change(rows)
    return rows

  @property
  def shape(self) -> tuple[int, ...]:
    """The shape [N, ...], as an array has it."""
    return (len(self), *self.row)

  @property
  def nbytes(self) -> int:
    """The number of bytes of all rows."""
    return math.prod(self.shape) * self.dtype.itemsize

  def take(self, indices: np.ndarray, axis: int = 0) -> "Stream":
    """Returns a column of these rows, without reading them."""
    return replace(self, indices=self.indices[indices])

  def join(self, other: "Stream") -> "Stream":
    """Returns a column of the rows of both, which must have the same source."""
    assert (self.read, self.changes) == (other.read, other.changes)
    return replace(self, indices=np.concatenate([self.indices, other.indices]))

  def map(self, change: Callable[[np.ndarray], np.ndarray], row: tuple[int, ...]) -> "Stream":
    """Returns the column of change(rows), whose rows have the shape `row`."""
    return replace(self, row=row, changes=(*self.changes, change))

  def each(self, function: Callable[[int, np.ndarray], Any]) -> list[Any]:
    """Returns function(start, rows) for each part of `PART` rows, computed by threads.

    Rows of several shapes come one by one.
    """
    size = 1 if self.ragged else PART

    def part(start: int) -> Any:
      return function(start, self[start : start + size])

    return by_threads(part, range(0, len(self), size))

  def array(self) -> np.ndarray:
    """Returns the whole column. Raises: UserError where it does not fit twice into the memory."""
    how = "to read them batch by batch add 'stream': 'threads' to data.arguments"
    wide = self.dtype.itemsize
    check_memory("images", self.shape if wide == 1 else (*self.shape, wide), how)
    whole = np.empty(self.shape, self.dtype)

    def fill(start: int, rows: np.ndarray) -> None:
      whole[start : start + len(rows)] = rows

    self.each(fill)
    return whole


def check_memory(what: str, shape: tuple[int, ...], how: str) -> None:
  """Raises: UserError where bytes [N, ...] do not fit twice into the memory.

  Twice, since splitting them makes a copy. The message ends with `how`, a way to do without.
  """
  import psutil  # not needed to build and train

  memory = psutil.virtual_memory().total
  needed, row = math.prod(shape), "x".join(map(str, shape[1:]))
  if 2 * needed > memory:
    raise UserError(
      f"{shape[0]:,} {what} of {row} take {needed / 1e9:,.1f} GB, and twice that for a moment; "
      f"this machine has {memory / 1e9:,.1f} GB of memory; {how}"
    )


def by_threads(function: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
  """Returns function(value) for each value, computed by as many threads as there are cores."""
  with ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(function, values))


def column(read: Callable, count: int, row: tuple[int, ...], stream: str) -> Stream | np.ndarray:
  """Returns the column of a source with `count` rows: a Stream, or for stream "" an array.

  Raises: UserError for a word that is not in `BY`, and any error of `read`.
  """
  if stream not in BY:
    raise unknown("data.arguments.stream", str(stream), BY[1:])
  whole = Stream(read, np.arange(count), row, stream or "threads")
  return whole if stream else whole.array()


def read_ahead(
  make: Callable[[int], Any], start: int, stop: int, by: str = "threads"
) -> Iterator[Any]:
  """Yields make(start) to make(stop - 1), which are computed while earlier ones are in use.

  With threads, as many results as the machine has cores, and two more, are ready or under way at
  once; with processes, each process holds a few.

  Args:
    make: a pure function that returns arrays; for processes one that cloudpickle can send to them.
    start: the first argument.
    stop: the end, not included.
    by: "threads" of this process, or "processes". Processes import everything anew and so take
      longer to start; they pay on many cores, where threads wait for Python's global lock.

  Raises: any error of `make`; UserError for a process that dies.
  """
  import grain

  cores = os.cpu_count()
  made = grain.MapDataset.range(start, stop).map(make)
  if by == "processes":
    _let_grain_read_flags()
    one = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    options = grain.MultiprocessingOptions(num_workers=cores, per_worker_buffer_size=1)
    dataset = made.to_iter_dataset(one).mp_prefetch(options, _end_with_parent)
  else:
    options = grain.ReadOptions(num_threads=cores, prefetch_buffer_size=cores + 1)
    dataset = made.to_iter_dataset(options)
  iterator = iter(dataset)
  try:
    yield from iterator
  except RuntimeError as error:
    if "Worker process" not in str(error):
      raise
    raise UserError(
      "a process that reads images has died, perhaps for want of memory, of which the shared part "
      "(/dev/shm) may be small; 'stream': 'threads' in data.arguments needs none"
    ) from error
  finally:
    iterator.close()


def _let_grain_read_flags() -> None:
  """Lets grain read its own absl flags, which fails while no script has parsed any flags."""
  from absl import flags

  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()


def _end_with_parent(index: int, count: int) -> None:
  """Ends a reading process when its parent ends, even where the parent is killed."""

  def wait() -> None:
    parent_process().join()
    os._exit(1)

  threading.Thread(target=wait, daemon=True).start()
