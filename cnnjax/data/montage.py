"""Volumes as pictures: slices along their three axes, side by side."""

from collections.abc import Sequence

import numpy as np

from cnnjax.data.voxels import grey, nearest

GAP, GREY = 2, 128  # pixels between slices, and their level
LEAST = 128  # pixels of the longest side of a slice, to which small volumes are enlarged


def flat(
  volume: np.ndarray, maps: Sequence[np.ndarray] = (), spacing: Sequence[float] | None = None
) -> tuple[np.ndarray, list[np.ndarray]]:
  """Returns an axial, a coronal and a sagittal slice side by side, uint8 [H, W], and maps alike.

  They cross in the middle of what the maps have of classes but the first, or of the volume. As
  radiologists have them: the head and the front are above, and the person's right is on the left.

  Args:
    volume: [D, H, W] or [D, H, W, C], of which the first channel is shown.
    maps: of classes, [D, H, W] each, which may be of another size than the volume.
    spacing: of the voxels of the maps, or the volume; by default the volume's own, or cubes.
  """
  volume = volume[..., 0] if volume.ndim == 4 else volume
  spacing = spacing if spacing is not None else getattr(volume, "spacing", None) or (1, 1, 1)
  volume = np.asarray(volume)
  size = maps[0].shape if len(maps) else volume.shape
  volume = nearest(volume, size) if volume.shape != size else volume
  there = np.argwhere(np.any([(m > 0) & (m < 255) for m in maps], 0)) if len(maps) else []
  at = there.mean(0).round().astype(int) if len(there) else np.asarray(size) // 2
  pixels = np.asarray(size) * spacing / np.min(spacing)
  pixels = np.maximum(1, (pixels * max(1.0, LEAST / pixels.max())).round().astype(int))
  image = _beside(grey(volume), at, pixels, GREY)
  return image, [_beside(one, at, pixels, 0) for one in maps]


def montage(volume: np.ndarray, side: int) -> np.ndarray:
  """Returns the middle slices of a volume side by side, with no side longer than `side`: uint8."""
  from cnnjax.data.image import thumbnail

  return thumbnail(flat(volume)[0], side)


def _beside(volume: np.ndarray, at: Sequence[int], pixels: np.ndarray, fill: int) -> np.ndarray:
  """Returns three slices through `at`, each of so many pixels, with `fill` between and below."""
  planes = []
  for axis in range(3):
    size = np.delete(pixels, axis)
    plane = volume.take(at[axis], axis)[::-1, ::-1]
    rows, columns = ((np.arange(t) + 0.5) * n / t for t, n in zip(size, plane.shape))
    planes.append(plane[np.ix_(rows.astype(int), columns.astype(int))])
  high = max(len(plane) for plane in planes)
  fitted = [np.pad(p, [(0, high - len(p)), (0, GAP)], constant_values=fill) for p in planes]
  return np.concatenate(fitted, 1)[:, :-GAP]
