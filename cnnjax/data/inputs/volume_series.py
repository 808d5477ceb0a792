"""Series of volumes as input: float32 [T, D, H, W, C], such as functional MRI, from NIfTI files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data import scan
from cnnjax.data.inputs import clip
from cnnjax.data.stream import Stream, by_threads, check_memory
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say
from cnnjax.ops.volume_series import VolumeSeriesPreprocessing

COLUMNS = ("volume_series",)
SUFFIXES = scan.SUFFIXES
OWN = (0.0,), (1.0,)  # mean and deviation of what is normalised by its own
HOW = "leave 'stream' out of data.arguments, or set a smaller data.length or data.crop"


def preprocessing(data: Any) -> VolumeSeriesPreprocessing:
  """Returns the preprocessing of a config's `data` section, which may not be complete yet.

  Raises: UserError for a size that is none, and for one step from which its mean is subtracted.
  """
  crop = data.crop if isinstance(data.crop, Sequence) else (data.crop,)
  if len(crop) not in (0, 3) or not all(side > 0 for side in crop):
    raise UserError(f"data.crop must be (depth, height, width) in voxels, or (); found {crop}")
  if data.centred and data.length == 1:
    raise UserError("data.centred leaves nothing of one step; set data.length above 1")
  return VolumeSeriesPreprocessing(
    length=data.length or None,
    crop=tuple(crop) or None,
    channels=data.channels,
    centred=data.centred,
  )


def complete(data: Any, table: Table) -> dict[str, Any]:
  """Returns length, size and channels: those in `data`, else the largest of the training split.

  Raises: UserError where `data` has another number of channels than the training split, and for a
    mean or a deviation, since each series is normalised by its own.
  """
  length, *size, channels = table.columns["volume_series"].shape[1:]
  if data.channels not in (0, channels):
    raise UserError(f"data.channels is {data.channels}, but the series have {channels}")
  for key, given, own in zip(("mean", "std"), (data.mean, data.std), OWN):
    if tuple(given) not in ((), own):
      raise UserError(
        f"data.{key} is {tuple(given)}, but each series of volumes is normalised by its own mean "
        "and deviation; leave it at ()"
      )
  found = {"length": data.length or length, "channels": channels, "crop": data.crop or tuple(size)}
  return {**found, "mean": OWN[0], "std": OWN[1]}


def prepare(table: Table, to: VolumeSeriesPreprocessing) -> Table:
  """Returns the table with its series normalised, and cut or filled: [N, T, D, H, W, C].

  Raises: UserError where those that are read at the start do not fit into the memory.
  """
  column, change = table.columns["volume_series"], partial(_fitted, to=to)
  if not isinstance(column, Stream):
    ready = np.stack(by_threads(change, column))
    return table.replace(volume_series=ready)
  column = replace(column.map(partial(_each, change=change), to.shape), ragged=False)
  if not column.by:
    check_memory("series of volumes", (*column.shape, column.dtype.itemsize), HOW)
    column = column.array()
  return table.replace(volume_series=column)


def _each(rows: Sequence[np.ndarray], change: Any) -> np.ndarray:
  return np.stack([change(row) for row in rows])


def _fitted(series: np.ndarray, to: VolumeSeriesPreprocessing) -> np.ndarray:
  """Returns a series [T, D, H, W, C] as the network sees it, float32.

  It is normalised by what is kept of its time, before anything is added.
  """
  from cnnjax.data.voxels import sized  # SciPy: not needed to build and train

  series = series[: to.length].astype(np.float32)
  if to.centred:
    series -= series.mean(0, keepdims=True, dtype=np.float64).astype(np.float32)
  over = (0, 1, 2, 3)
  mean, std = (f(series, over, dtype=np.float64).astype(np.float32) for f in (np.mean, np.std))
  series = (series - mean) / np.where(std > 0, std, 1)
  missing = (to.length or 0) - len(series)
  if missing > 0:
    still = series.mean(0, keepdims=True).repeat(missing, 0)
    series = np.concatenate([series, still])
  return sized(series, (len(series), *to.crop)) if to.crop else series


def empty(to: VolumeSeriesPreprocessing) -> jax.Array:
  """Returns a series of zeros, [1, T, D, H, W, C]."""
  return jnp.zeros((1, *to.shape), jnp.float32)


def check(options: Mapping[str, Any]) -> None:
  """Accepts the empty section: `cnnjax/keys.py` has no augmentation of series of volumes yet."""
  del options


def augment(key: jax.Array, batch: dict[str, Any], **options: Any) -> dict[str, Any]:
  """Returns the batch unchanged: series of volumes have no augmentation yet."""
  del key, options
  return batch


def scale(batch: dict[str, Any], to: VolumeSeriesPreprocessing) -> dict[str, Any]:
  """Returns the batch as it is: series are normalised on the host, each as a whole."""
  del to
  return {**batch, "volume_series": jnp.asarray(batch["volume_series"], jnp.float32)}


def read(batch: dict[str, Any]) -> jax.Array:
  """Returns the series [B, T, D, H, W, C]."""
  return batch["volume_series"]


def load(path: Path, to: VolumeSeriesPreprocessing) -> dict[str, np.ndarray]:
  """Returns {path: series} of a NIfTI file of four dimensions.

  Raises: UserError for what is no series of volumes.
  """
  del to
  return {str(path): as_series(np.asarray(scan.read(path, series=True)), str(path))}


def as_series(array: np.ndarray, name: str) -> np.ndarray:
  """Returns a series of volumes [T, D, H, W] or [T, D, H, W, C] as float32 [T, D, H, W, C].

  Raises: UserError for any other array.
  """
  if array.ndim == 3:
    raise UserError(f"{name} is one volume, {array.shape}; expected a series, [T, D, H, W]")
  if array.ndim not in (4, 5) or 0 in array.shape or array.dtype.kind not in "biuf":
    raise UserError(
      f"{name} is {array.dtype} {array.shape}; expected a series of volumes, [T, D, H, W] or "
      "[T, D, H, W, C]"
    )
  series = array.reshape(*array.shape[:4], -1).astype(np.float32)
  if not np.isfinite(series).all():
    raise UserError(f"{name} holds a number that is not finite")
  return series


def fit(
  examples: np.ndarray | Sequence[np.ndarray], to: VolumeSeriesPreprocessing
) -> dict[str, np.ndarray]:
  """Returns series normalised, and cut or filled to the network's shape, [N, T, D, H, W, C].

  An example is [T, D, H, W] or [T, D, H, W, C].

  Raises: UserError for an array that is no series, or has another number of channels.
  """
  fitted = []
  for index, example in enumerate(examples):
    series = as_series(np.asarray(example), f"series {index}")
    if series.shape[-1] != to.channels:
      raise UserError(
        f"series {index} has {series.shape[-1]} channels, but the network was made for "
        f"{to.channels}"
      )
    wanted = (to.length or len(series), *(to.crop or series.shape[1:4]))
    if series.shape[:4] != wanted:
      have, want = ("x".join(map(str, size)) for size in (series.shape[:4], wanted))
      say(f"a series of {have} (time x depth x height x width) is cut, or continued, to {want}")
    fitted.append(_fitted(series, to))
  shapes = {series.shape for series in fitted}
  if len(shapes) > 1:
    raise UserError(f"series of different shapes {sorted(shapes)} need a length and a size")
  shape = (0, *(to.shape or (0,) * 5))
  return {"volume_series": np.stack(fitted) if fitted else np.zeros(shape, np.float32)}


def invert(example: np.ndarray) -> np.ndarray:
  """Raises: UserError, always: light and dark of a volume have a meaning of their own."""
  raise UserError("--invert is for images, but the run is of series of volumes")


def picture(example: np.ndarray, side: int) -> np.ndarray:
  """Returns the middle slice of up to nine volumes of a series, side by side in rows of three.

  Small ones are enlarged by a whole number.
  """
  slices = _slices(example)
  times = max(1, (side // 3 - clip.GAP) // max(slices.shape[1:3]))
  return clip.picture(slices.repeat(times, 1).repeat(times, 2), side)


def film(example: np.ndarray, side: int) -> np.ndarray:
  """Returns the middle slice of each volume of a series, with no side longer than `side`."""
  return clip.film(_slices(example), side)


def _slices(example: np.ndarray) -> np.ndarray:
  """Returns the middle slices across the body, uint8 [T, H, W, 1], in one scale of grey.

  As radiologists have them: the front is above, and the person's right is on the left.
  """
  from cnnjax.data.voxels import grey

  series = example[..., 0] if example.ndim == 5 else example
  return grey(series[:, series.shape[1] // 2, ::-1, ::-1])[..., None]
