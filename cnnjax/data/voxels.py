"""Volumes on the host: resampled to a spacing, normalised, cut or filled to a size."""

from collections.abc import Sequence

import numpy as np

from cnnjax.data.window import piece
from cnnjax.ops.volume import VolumePreprocessing

SEEN = (0.5, 99.5)  # percentiles of the values that are black and white in pictures
CUBIC = 3  # order of the splines by which values are resampled, as in nnU-Net


def size_at(size: Sequence[int], spacing: Sequence[float], to: VolumePreprocessing) -> tuple:
  """Returns the size (D, H, W) of a volume of this size and spacing at the network's spacing."""
  if to.spacing is None:
    return tuple(size)
  return tuple(max(1, round(n * mm / want)) for n, mm, want in zip(size, spacing, to.spacing))


def prepared(volume: np.ndarray, spacing: Sequence[float], to: VolumePreprocessing) -> np.ndarray:
  """Returns a volume [D, H, W, C] at the network's spacing, normalised: float32."""
  values = resampled(volume.astype(np.float32), size_at(volume.shape[:3], spacing, to))
  if to.normalize == "each":
    over = (0, 1, 2)
    mean = values.mean(over, dtype=np.float64)
    std = values.std(over, dtype=np.float64)
    return ((values - mean) / np.where(std > 0, std, 1)).astype(np.float32)
  values = np.clip(values, *to.clip) if to.clip else values
  return (values - np.float32(to.mean)) / np.float32(to.std)


def resampled(volume: np.ndarray, size: Sequence[int]) -> np.ndarray:
  """Returns a volume [D, H, W, C] of another size, by cubic splines; a voxel is an area."""
  from scipy.ndimage import zoom

  if volume.shape[:3] == tuple(size):
    return volume
  by = [want / have for want, have in zip(size, volume.shape)]
  options = dict(order=CUBIC, mode="nearest", grid_mode=True)
  return np.stack([zoom(channel, by, **options) for channel in np.moveaxis(volume, -1, 0)], -1)


def nearest(labels: np.ndarray, size: Sequence[int]) -> np.ndarray:
  """Returns labels [D, H, W] of another size: a voxel takes the label at its centre."""
  places = [((np.arange(t) + 0.5) * n / t).astype(int) for t, n in zip(size, labels.shape)]
  return labels[np.ix_(*places)]


def grey(values: np.ndarray) -> np.ndarray:
  """Returns values as levels of grey, uint8: what is beyond the percentiles `SEEN` is cut off."""
  low, high = np.percentile(values, SEEN)
  part = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
  return np.round(255 * part).astype(np.uint8)


def sized(array: np.ndarray, size: Sequence[int], outside: int | None = None) -> np.ndarray:
  """Returns the middle [*size, ...] of an array, mirrored or filled with `outside` beyond it."""
  corner = [(have - want) // 2 for have, want in zip(array.shape, size)]
  return piece(array, corner, size, outside)
