"""Columns that are read when a batch asks for them, and what is made ahead of its use."""

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

BY = ("", "threads", "processes")  # who reads: "" all of it at the start, into memory
PART = 64  # rows that a thread reads at a time: a turn for each small one takes longer


@dataclass(frozen=True)
class Stream:
  """A column of bytes [N, ...] that stays where it is; `stream[places]` reads some of its rows.

  Attributes:
    read: places in the source [B] -> their rows [B, ...], uint8.
    places: [N] in the source.
    row: shape of a row.
    by: "threads" or "processes", which read the batches of a training.
    changes: what is made of the rows, one function after the other.
  """

  read: Callable[[np.ndarray], np.ndarray]
  places: np.ndarray
  row: tuple[int, ...]
  by: str = "threads"
  changes: tuple[Callable[[np.ndarray], np.ndarray], ...] = ()
  dtype = np.dtype(np.uint8)

  def __len__(self) -> int:
    return len(self.places)

  def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
    rows = self.read(self.places[index])
    for change in self.changes:
      rows = change(rows)
    return rows

  @property
  def shape(self) -> tuple[int, ...]:
    """As an array's."""
    return (len(self), *self.row)

  @property
  def nbytes(self) -> int:
    """Of all rows."""
    return math.prod(self.shape)

  def take(self, places: np.ndarray, axis: int = 0) -> "Stream":
    """Returns the column of these rows, none of them read."""
    return replace(self, places=self.places[places])

  def join(self, other: "Stream") -> "Stream":
    """Returns the rows of both, which come from one source."""
    assert (self.read, self.changes) == (other.read, other.changes)
    return replace(self, places=np.concatenate([self.places, other.places]))

  def map(self, change: Callable[[np.ndarray], np.ndarray], row: tuple[int, ...]) -> "Stream":
    """Returns the column whose rows are change(rows), of this shape each."""
    return replace(self, row=row, changes=(*self.changes, change))

  def each(self, function: Callable[[int, np.ndarray], Any]) -> list[Any]:
    """Returns function(start, rows) of the parts that make the column, computed by threads."""

    def part(start: int) -> Any:
      return function(start, self[start : start + PART])

    return by_threads(part, range(0, len(self), PART))

  def array(self) -> np.ndarray:
    """Returns the whole column. Raises: UserError where the memory does not hold it twice."""
    how = "to read them batch by batch add 'stream': 'threads' to data.arguments"
    check_memory("images", self.shape, how)
    whole = np.empty(self.shape, self.dtype)

    def fill(start: int, rows: np.ndarray) -> None:
      whole[start : start + len(rows)] = rows

    self.each(fill)
    return whole


def check_memory(what: str, shape: tuple[int, ...], how: str) -> None:
  """Raises: UserError where bytes [N, ...] do not fit twice into the memory, saying how they may.

  Twice, since splitting them takes a copy.
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
  """Returns the function of each value, as many at a time as the machine has cores."""
  with ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(function, values))


def column(read: Callable, count: int, row: tuple[int, ...], stream: str) -> Stream | np.ndarray:
  """Returns what a source of `count` rows gives, as data.arguments.stream asks: one of `BY`.

  Raises: UserError for another word, and for what is not read as it should be.
  """
  if stream not in BY:
    raise unknown("data.arguments.stream", str(stream), BY[1:])
  whole = Stream(read, np.arange(count), row, stream or "threads")
  return whole if stream else whole.array()


def ahead(make: Callable[[int], Any], start: int, stop: int, by: str = "threads") -> Iterator[Any]:
  """Yields make(start) to make(stop - 1), made while the ones before are in use.

  As many as the machine has cores, and two, are there or in the making at once; of processes each
  has a few.

  Args:
    make: a pure function, of arrays; for processes one that cloudpickle can send to them.
    start: the first.
    stop: after the last.
    by: "threads" of this process, or "processes", each with imports of its own: dearer to start,
      and worth it where Python's lock holds the threads of many cores back.

  Raises: what `make` does; UserError for a process that dies.
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
  """Grain asks absl for flags of its own, which has none to tell where no script has parsed any."""
  from absl import flags

  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()


def _end_with_parent(index: int, count: int) -> None:
  """Ends a reading process with its parent, which may be killed without a word."""

  def wait() -> None:
    parent_process().join()
    os._exit(1)

  threading.Thread(target=wait, daemon=True).start()
