"""Series of numbers as input: float32 [L, C], from NumPy's files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data.stream import check_memory
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.series import SeriesPreprocessing, normalize

COLUMNS = ("series",)
SUFFIXES = (".npy", ".npz")


def preprocessing(data: Any) -> SeriesPreprocessing:
  """Returns the preprocessing of a config's `data` section, which may not be complete yet."""
  return SeriesPreprocessing(
    length=data.length or None,
    channels=data.channels,
    mean=tuple(data.mean),
    std=tuple(data.std),
  )


def complete(data: Any, table: Table) -> dict[str, Any]:
  """Returns length, channels, mean and deviation: those in `data`, else the training split's.

  Raises: UserError where `data` has another number of channels than the training split.
  """
  length, channels = table.columns["series"].shape[1:]
  if data.channels not in (0, channels):
    raise UserError(f"data.channels is {data.channels}, but the series have {channels}")
  found = {"length": data.length or length, "channels": channels}
  if not data.mean and not data.std:
    series = table.columns["series"].astype(np.float64)
    std = series.std((0, 1))
    found["mean"] = tuple(series.mean((0, 1)).tolist())
    found["std"] = tuple(np.where(std > 0, std, 1).tolist())
  return found


def prepare(table: Table, to: SeriesPreprocessing) -> Table:
  """Returns the table with its series cut or padded to the network's length: [N, L, C]."""
  return table.replace(series=_of_length(table.columns["series"], to.length))


def _of_length(series: np.ndarray, length: int | None) -> np.ndarray:
  """Cuts series [..., L, C] at their end, or pads them there with zeros."""
  have = series.shape[-2]
  if not length or length == have:
    return series
  if have > length:
    return series[..., :length, :]
  return np.pad(series, [(0, 0)] * (series.ndim - 2) + [(0, length - have), (0, 0)])


def empty(to: SeriesPreprocessing) -> jax.Array:
  """Returns a series of zeros, [1, L, C]."""
  return jnp.zeros((1, *to.shape), jnp.float32)


def check(options: Mapping[str, Any]) -> None:
  """Accepts the empty section: `cnnjax/keys.py` has no augmentation of series yet."""
  del options


def augment(key: jax.Array, batch: dict[str, Any], **options: Any) -> dict[str, Any]:
  """Returns the batch unchanged: series have no augmentation yet."""
  del key, options
  return batch


def scale(batch: dict[str, Any], to: SeriesPreprocessing) -> dict[str, Any]:
  """Returns the batch with its series as float32, (value - mean) / std."""
  return {**batch, "series": normalize(batch["series"], to)}


def read(batch: dict[str, Any]) -> jax.Array:
  """Returns the series [B, L, C]."""
  return batch["series"]


def load(path: Path, to: SeriesPreprocessing) -> dict[str, np.ndarray]:
  """Returns the series in a file by name: FILE, FILE:NAME in an .npz, FILE[0] where it has several.

  An array is one series [L] or [L, C], or several [N, L, C].

  Raises: UserError for a file that is damaged, or holds something else.
  """
  from cnnjax.data.arrays import arrays_of

  if path.suffix.lower() not in SUFFIXES:
    raise UserError(f"{path} is no series; expected a file {' or '.join(SUFFIXES)}")
  found = {}
  for name, array in arrays_of(path).items():
    several = array.ndim == (2 if to.channels == 1 and array.shape[-1:] != (1,) else 3)
    rows = {f"{name}[{n}]": one for n, one in enumerate(array)} if several else {name: array}
    found |= {key: as_series(one, key) for key, one in rows.items()}
  return found


def as_series(array: np.ndarray, name: str, several: bool = False) -> np.ndarray:
  """Returns a series [L] or [L, C] as float32 [L, C]; several, [N, L] or [N, L, C], as [N, L, C].

  Raises: UserError for any other array.
  """
  rank, wanted = 1, "a series of numbers, [L] or [L, C]"
  if several:
    rank, wanted = 2, "numbers, [N, L] or [N, L, C]"
  if array.ndim not in (rank, rank + 1) or 0 in array.shape or array.dtype.kind not in "biuf":
    raise UserError(f"{name} is {array.dtype} {array.shape}; expected {wanted}")
  if isinstance(array, np.memmap):  # of any size; what else there is lies in the memory already
    check_memory(f"rows in {name}", (*array.shape, 4), "shorter or fewer series need less")
  series = array.reshape(*array.shape[:rank], -1).astype(np.float32)
  if not np.isfinite(series).all():
    raise UserError(f"{name} holds a number that is not finite")
  return series


def fit(
  examples: np.ndarray | Sequence[np.ndarray], to: SeriesPreprocessing
) -> dict[str, np.ndarray]:
  """Returns series cut or padded to the network's length, [N, L, C].

  Raises: UserError for an array that is no series, or has another number of channels.
  """
  fitted = []
  for index, example in enumerate(examples):
    series = as_series(np.asarray(example), f"series {index}")
    if series.shape[1] != to.channels:
      raise UserError(
        f"series {index} has {series.shape[1]} channels, but the network was made for {to.channels}"
      )
    fitted.append(_of_length(series, to.length))
  lengths = {len(series) for series in fitted}
  if len(lengths) > 1:
    raise UserError(f"series of different lengths {sorted(lengths)} need a length to make a batch")
  shape = (0, *(to.shape or (0, to.channels)))
  return {"series": np.stack(fitted) if fitted else np.zeros(shape, np.float32)}


def invert(example: np.ndarray) -> np.ndarray:
  """Raises: UserError, always: a series has no light and dark."""
  raise UserError("--invert is for images, but the run is of series")


def picture(example: np.ndarray, side: int) -> np.ndarray:
  """Returns a drawing of a series, with a dark line for each channel: uint8 [side / 2, side]."""
  from PIL import Image, ImageDraw  # not needed to build and train

  height, margin = side // 2, 4
  low, high = float(example.min()), float(example.max())
  drawing = Image.new("L", (side, height), 255)
  pen = ImageDraw.Draw(drawing)
  x = np.linspace(margin, side - 1 - margin, len(example))
  for channel, values in enumerate(example.T):
    part = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    y = height - 1 - margin - part * (height - 1 - 2 * margin)
    grey = round(160 * channel / max(1, example.shape[1] - 1))
    pen.line(list(zip(x.tolist(), y.tolist())), fill=grey)
  return np.asarray(drawing)
