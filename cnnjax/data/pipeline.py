"""From tables to batches: batch = f(seed, step) for training, padded and masked for evaluation."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from cnnjax.data.sampling import epochs
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing, normalize

Batch = dict[str, Any]


def preprocessing(data: Any) -> Preprocessing:
  """Returns what a config's `data` section does to an image, as far as it is complete.

  Raises: UserError for a resize or a crop that is no size, or leaves images of several sizes.
  """
  resize, crop = _size("resize", data.resize, (0, 1, 2)), _size("crop", data.crop, (0, 2))
  if len(resize) == 1 and not crop:
    raise UserError(
      f"data.resize {resize[0]} is the length of the shorter side; set data.crop to "
      "(height, width) too, for images of one size"
    )
  return Preprocessing(
    resize=(resize[0] if len(resize) == 1 else resize) or None,
    crop=crop or None,
    channels=data.channels,
    mean=tuple(data.mean),
    std=tuple(data.std),
  )


def _size(key: str, value: Any, lengths: tuple[int, ...]) -> tuple[int, ...]:
  value = (value,) if isinstance(value, int) else tuple(value)
  if len(value) not in lengths or not all(isinstance(v, int) and v > 0 for v in value):
    raise UserError(f"data.{key} must be (height, width) in pixels, or (); found {value}")
  return value


def moments(table: Table) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Returns mean and deviation a channel of a table's images, of pixels scaled to 0..1."""
  image = table.columns["image"]
  counts = [np.bincount(image[..., c].ravel(), minlength=256) for c in range(image.shape[-1])]
  levels = np.arange(256) / 255
  mean = [float(np.average(levels, weights=n)) for n in counts]
  var = [float(np.average((levels - m) ** 2, weights=n)) for n, m in zip(counts, mean)]
  return tuple(round(m, 6) for m in mean), tuple(round(max(v**0.5, 1e-3), 6) for v in var)


def train_places(
  table: Table,
  batch_size: int,
  seed: int,
  rows: np.ndarray | None = None,
  sampling: str = "uniform",
) -> Callable[[int], np.ndarray]:
  """Returns k -> the table's places [B] of batch k: kB to (k+1)B of the epochs' orders, joined.

  Args:
    table: of examples.
    batch_size: B, over all hosts.
    seed: of the orders.
    rows: of each batch that this host holds; all by default.
    sampling: of `sampling.epochs`.

  Raises: UserError for a table smaller than one batch, and a sampling that it does not allow.
  """
  if len(table) < batch_size:
    raise UserError(
      f"the training split holds {len(table)} examples, fewer than one batch of {batch_size}; "
      f"set data.batch_size to {len(table)} or less"
    )
  n = len(table)
  rows = np.arange(batch_size) if rows is None else rows

  order = lru_cache(maxsize=2)(epochs(table, seed, sampling))

  def places(step: int) -> np.ndarray:
    line = step * batch_size + rows
    first, last = line[0] // n, line[-1] // n
    if first == last:
      return order(int(first))[line % n]
    return np.where(line // n == first, order(int(first))[line % n], order(int(last))[line % n])

  return places


def gather(columns: Mapping[str, Any], places: Any) -> Batch:
  """Returns a full batch of the examples at these places, on the host or on a device."""
  batch = {key: column[places] for key, column in columns.items()}
  return {**batch, "mask": np.ones(len(places), np.float32)}


def eval_batches(table: Table, batch_size: int, rows: np.ndarray | None = None) -> Iterator[Batch]:
  """Yields every example once, in order; the last batch is padded, its padding masked out.

  Of each batch a host reads its `rows` only, in rising order; all by default.
  """
  rows = np.arange(batch_size) if rows is None else rows
  for start in range(0, len(table), batch_size):
    places = start + rows
    there = places[places < len(table)]
    yield pad({key: column[there] for key, column in table.columns.items()}, len(rows))


def pad(columns: dict[str, np.ndarray], size: int) -> Batch:
  """Returns columns filled up to `size` rows with zeros, and the mask of the real ones."""
  count = len(next(iter(columns.values())))
  filled = {
    key: np.pad(column, [(0, size - count)] + [(0, 0)] * (column.ndim - 1))
    for key, column in columns.items()
  }
  return {**filled, "mask": (np.arange(size) < count).astype(np.float32)}


def scale(batch: Batch, preprocessing: Preprocessing) -> Batch:
  """Returns the batch with its uint8 images normalised to what the network reads."""
  return {**batch, "image": normalize(batch["image"], preprocessing)}
