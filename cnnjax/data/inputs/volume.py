"""Volumes as input: float32 [D, H, W, C], from NIfTI files, DICOM series and folders of slices."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data import scan
from cnnjax.data.augment_volume import augment, check  # noqa: F401, functions of the kind
from cnnjax.data.stream import by_threads, check_memory
from cnnjax.data.table import Table
from cnnjax.data.window import middle
from cnnjax.errors import UserError, say
from cnnjax.ops.segmentation import VOID
from cnnjax.ops.volume import VolumePreprocessing

COLUMNS = ("volume",)
SUFFIXES = scan.SUFFIXES
SAMPLED = 10_000  # voxels of a volume from which the values of all are measured
KEPT = (0.5, 99.5)  # percentiles of these that are kept by normalize=all, as nnU-Net does
MULTIPLE = 8  # of which sizes are made, where none is given


def preprocessing(data: Any) -> VolumePreprocessing:
  """Returns the preprocessing of a config's `data` section, which may not be complete yet.

  Raises: UserError for a size, a spacing or a range that is none.
  """
  clip = tuple(data.clip)
  if len(clip) not in (0, 2) or list(clip) != sorted(set(clip)):
    raise UserError(f"data.clip must be (lowest, highest) value, or (); found {clip}")
  return VolumePreprocessing(
    spacing=_three("spacing", data.spacing, "in millimetres"),
    channels=data.channels,
    normalize=data.normalize,
    clip=clip or None,
    mean=tuple(data.mean),
    std=tuple(data.std),
    crop=_three("crop", data.crop, "in voxels"),
    tile=_three("tile", getattr(data, "tile", ()), "in voxels"),
    overlap=getattr(data, "overlap", 0.5),
    foreground=data.foreground,
  )


def _three(key: str, value: Any, unit: str) -> tuple | None:
  value = value if isinstance(value, Sequence) else (value,)
  if len(value) not in (0, 3) or not all(v > 0 for v in value):
    raise UserError(f"data.{key} must be (depth, height, width) {unit}, or (); found {value}")
  return tuple(value) or None


def complete(data: Any, table: Table) -> dict[str, Any]:
  """Returns spacing, size, channels and values: those in `data`, else the training split's.

  The spacing is the median. The size is the largest there is, and a multiple of 8; where a network
  answers each voxel, it has to be given, as that of a window. With `normalize` "all" the values are
  those of voxels of some class but the first, where there are classes of voxels.

  Raises: UserError for volumes with classes of voxels without `data.tile`, and for both it and
    `data.crop`.
  """
  channels = table.columns["volume"].shape[-1]
  if data.channels not in (0, channels):
    raise UserError(f"data.channels is {data.channels}, but the volumes have {channels}")
  spacing = tuple(float(np.round(mm, 4)) for mm in np.median(table.columns["spacing"], 0))
  found = {"channels": channels, "spacing": tuple(data.spacing) or spacing}
  tile, by_voxel = getattr(data, "tile", ()), "segments" in table.columns
  if tile and data.crop:
    raise UserError("data.tile and data.crop both say what the network sees; set one of them to ()")
  if by_voxel and not tile and not data.crop:
    raise UserError(
      "data.tile is (), but a network sees windows of volumes; set it to (depth, height, width) in "
      "voxels, or let `python -m experiments.configure` choose it"
    )
  to = replace(preprocessing(data), spacing=found["spacing"])
  if not tile and not data.crop:
    sizes = voxel_sizes(table, to)
    found["crop"] = tuple(int(-(-n // MULTIPLE) * MULTIPLE) for n in sizes.max(0))
  if not data.mean and not data.std:
    found["mean"], found["std"] = (0.0,), (1.0,)
    if data.normalize == "all":
      found |= values_of(table, to.clip)
  return found


def voxel_sizes(table: Table, to: VolumePreprocessing) -> np.ndarray:
  """Returns the sizes [N, 3] of a table's volumes at the network's spacing."""
  from cnnjax.data.voxels import size_at

  each = zip(table.columns["size"].tolist(), table.columns["spacing"].tolist())
  return np.asarray([size_at(size, spacing, to) for size, spacing in each])


def values_of(table: Table, clip: tuple[float, float] | None = None) -> dict[str, Any]:
  """Returns `clip`, `mean` and `std` of a table's values, of voxels of some class but the first.

  Where there are no classes of voxels, of all of them. Each volume gives `SAMPLED` voxels at most.
  """
  columns, rng = table.columns, [np.random.default_rng([0, n]) for n in range(len(table))]

  def some(n: int) -> np.ndarray:
    values = columns["volume"][n : n + 1][0]
    if "segments" in columns:
      labels = columns["segments"][n : n + 1][0]
      values = values[(labels > 0) & (labels != VOID)]
    values = values.reshape(-1, values.shape[-1])
    return values[rng[n].integers(len(values), size=SAMPLED)] if len(values) > SAMPLED else values

  every = np.concatenate(by_threads(some, range(len(table)))).astype(np.float64)
  low, high = clip or np.percentile(every, KEPT)
  low, high = (low, high) if low < high else (every.min() - 0.5, every.max() + 0.5)
  kept = np.clip(every, low, high)
  std = kept.std(0)
  return {
    "clip": (float(low), float(high)),
    "mean": tuple(kept.mean(0).tolist()),
    "std": tuple(np.where(std > 0, std, 1).tolist()),
  }


def prepare(table: Table, to: VolumePreprocessing) -> Table:
  """Returns the table with its volumes at the network's spacing, normalised.

  With windows they keep their own sizes, a training draws windows of them, and an evaluation gets
  them whole, with their classes as the files have them. Else they are cut or filled to `crop`.

  Raises: UserError where they do not fit into the memory.
  """
  from cnnjax.data import voxels  # SciPy: not needed to build and train
  from cnnjax.data.prepared_volumes import windows

  _tell_sizes(table, to)
  if to.tile:
    return windows(table, to)
  columns, spacing = table.columns, table.columns["spacing"]
  how = "a smaller data.crop, or a larger data.spacing, needs less"
  check_memory("volumes", (len(table), *to.shape, 4), how)

  def one(n: int) -> np.ndarray:
    ready = voxels.prepared(columns["volume"][n : n + 1][0], spacing[n], to)
    return voxels.sized(ready, to.crop)

  found = {"volume": np.stack(by_threads(one, range(len(table))))}
  if "segments" in columns:

    def labels(n: int) -> np.ndarray:
      own = columns["segments"][n : n + 1][0]
      return voxels.sized(
        voxels.nearest(own, voxels.size_at(own.shape, spacing[n], to)), to.crop, VOID
      )

    found["segments"] = np.stack(by_threads(labels, range(len(table))))
    if to.spacing:
      found["spacing"] = np.tile(np.float32(to.spacing), (len(table), 1))
  return table.replace(**found)


def _tell_sizes(table: Table, to: VolumePreprocessing) -> None:
  """Prints on standard error how many volumes are not of the size that the network sees."""
  sizes, by = voxel_sizes(table, to), "x".join(map(str, to.shape[:3]))
  odd = (sizes < to.tile).any(1) if to.tile else (sizes != to.crop).any(1)
  if odd.any():
    first = table.names[odd.argmax()] if table.names is not None else odd.argmax()
    what = f"smaller than the window {by}" if to.tile else f"of another size than {by} voxels"
    done = "they are mirrored at their borders" if to.tile else "they are cut, or mirrored there"
    say(f"{odd.sum()} of {len(table)} volumes are {what}, such as {first}: {done}")


def empty(to: VolumePreprocessing) -> jax.Array:
  """Returns a volume of zeros, or window of one, [1, D, H, W, C]."""
  return jnp.zeros((1, *to.shape), jnp.float32)


def seen(key: jax.Array, batch: dict[str, Any], to: VolumePreprocessing) -> dict[str, Any]:
  """Returns the middles of the windows that were drawn, or whole volumes."""
  del key
  return middle(batch, "volume", to.tile) if to.tile else batch


def scale(batch: dict[str, Any], to: VolumePreprocessing) -> dict[str, Any]:
  """Returns the batch as it is: volumes are normalised on the host, each as a whole."""
  del to
  return {**batch, "volume": jnp.asarray(batch["volume"], jnp.float32)}


def read(batch: dict[str, Any]) -> jax.Array:
  """Returns the volumes [B, D, H, W, C]."""
  return batch["volume"]


def load(path: Path, to: VolumePreprocessing) -> dict[str, np.ndarray]:
  """Returns {path: volume} of a NIfTI file, or a folder with a DICOM series or slices.

  Raises: UserError for what is no volume.
  """
  return {str(path): scan.read(path, channels=to.channels > 1)}


def fit(
  examples: np.ndarray | Sequence[np.ndarray], to: VolumePreprocessing
) -> dict[str, np.ndarray]:
  """Returns volumes at the network's spacing, normalised, and cut or filled where it says so.

  An example is [D, H, W] or [D, H, W, C]. One that does not know its spacing, as what `load`
  returns does, has the network's.

  Raises: UserError for an array that is no volume, or has another number of channels.
  """
  from cnnjax.data import voxels

  fitted = []
  for index, example in enumerate(examples):
    volume = example[..., None] if example.ndim == 3 else example
    if volume.ndim != 4 or 0 in volume.shape or volume.shape[-1] != to.channels:
      wanted = "[D, H, W]" if to.channels == 1 else f"[D, H, W, {to.channels}]"
      raise UserError(f"volume {index} has shape {example.shape}; expected {wanted}")
    if not np.isfinite(volume).all():
      raise UserError(f"volume {index} holds a number that is not finite")
    spacing = getattr(example, "spacing", None) or to.spacing or (1.0, 1.0, 1.0)
    ready = voxels.prepared(np.asarray(volume), spacing, to)
    if to.crop and ready.shape[:3] != to.crop:
      have, want = ("x".join(map(str, size)) for size in (ready.shape[:3], to.crop))
      say(f"a volume of {have} voxels is cut, or mirrored at its borders, to {want}")
    fitted.append(voxels.sized(ready, to.crop) if to.crop else ready)
  shapes = {volume.shape for volume in fitted}
  if len(shapes) > 1:
    raise UserError(f"volumes of different shapes {sorted(shapes)} need a size to make a batch")
  return {"volume": np.stack(fitted) if fitted else np.zeros((0, *(to.shape or (0,) * 4)))}


def invert(example: np.ndarray) -> np.ndarray:
  """Raises: UserError, always: light and dark of a volume have a meaning of their own."""
  raise UserError("--invert is for images, but the run is of volumes")


def picture(example: np.ndarray, side: int) -> np.ndarray:
  """Returns the middle slices of a volume along its three axes, side by side."""
  from cnnjax.data.montage import montage

  return montage(example, side)


def flat(
  example: np.ndarray, maps: Sequence[np.ndarray], spacing: Sequence[float] | None = None
) -> tuple[np.ndarray, list[np.ndarray]]:
  """Returns slices of a volume and of its class maps, side by side: uint8 [H, W] each."""
  from cnnjax.data import montage

  return montage.flat(example, maps, spacing)


def save(segments: np.ndarray, example: np.ndarray, path: Path) -> Path:
  """Writes a class map as PATH.nii.gz that lies where the example does, and returns its path."""
  path = path.with_name(f"{path.name}.nii.gz")
  scan.write(segments, example, path)
  return path


def whole(path: Path) -> bool:
  """Returns whether a folder is one volume: a DICOM series, or slices."""
  return path.is_dir() and scan.is_scan(path)
