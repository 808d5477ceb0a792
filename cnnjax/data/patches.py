"""Prepared volumes of several sizes, and the windows of them that a training sees."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnjax.data.window import piece
from cnnjax.ops.segmentation import VOID

KEPT = 1000  # voxels of a class in a volume around which windows may be laid
BESIDE = 8  # one part of so many of a window is drawn beyond each of its sides, for augmentation


@dataclass(frozen=True, eq=False)
class Volumes:
  """Prepared volumes float32 [D, H, W, C] with their labels uint8 [D, H, W], or None.

  The window of a training's example is a function of (seed, epoch, place): so its volume and its
  labels, which are columns of their own, are cut at the same place.

  Attributes:
    volumes: in memory, or memory maps.
    labels: at the same voxels, for a training's windows.
    places: of each volume, voxels [K, 3] of each class but the first that it has.
    seed: of the windows.
    tile: (D, H, W) that the network sees.
    foreground: part of the windows that lie around one of the `places`.
  """

  volumes: Sequence[np.ndarray]
  labels: Sequence[np.ndarray]
  places: Sequence[Sequence[np.ndarray]]
  seed: int
  tile: tuple[int, int, int]
  foreground: float

  def read(self, rows: np.ndarray) -> np.ndarray:
    """Returns volumes of one shape [B, D, H, W, C]."""
    return np.stack([self.volumes[n] for n in rows.tolist()])

  def draw(self, rows: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Returns a window of each volume [B, D, H, W, C], with what lies beside it."""
    return np.stack([piece(self.volumes[n], *where) for n, where in self._windows(rows, epochs)])

  def draw_labels(self, rows: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Returns the labels in these windows [B, D, H, W], void where there is no volume."""
    return np.stack(
      [piece(self.labels[n], *where, VOID) for n, where in self._windows(rows, epochs)]
    )

  def _windows(self, rows: np.ndarray, epochs: np.ndarray) -> list[tuple]:
    """Returns (place, (corner, size)) for each row."""
    beside = [-(-side // BESIDE) for side in self.tile]
    size = [side + 2 * more for side, more in zip(self.tile, beside)]
    found = []
    for n, epoch in zip(rows.tolist(), np.asarray(epochs).tolist()):
      corner = self.corner(n, np.random.default_rng([self.seed, epoch, n]))
      found.append((n, ([c - more for c, more in zip(corner, beside)], size)))
    return found

  def corner(self, place: int, rng: np.random.Generator) -> list[int]:
    """Returns where a window begins: around a voxel of some class, or anywhere in the volume.

    A volume that is smaller than the window lies anywhere in the window.
    """
    room = [have - want for have, want in zip(self.volumes[place].shape, self.tile)]
    low, high = np.minimum(room, 0), np.maximum(room, 0)
    start = rng.integers(low, high + 1)
    classes = self.places[place]
    if len(classes) and rng.random() < self.foreground:
      voxels = classes[rng.integers(len(classes))]
      start = voxels[rng.integers(len(voxels))] - np.asarray(self.tile) // 2
    return np.clip(start, low, high).tolist()


def places_of(labels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
  """Returns up to `KEPT` voxels [K, 3] of each class but 0 and void, of labels [D, H, W]."""
  found = []
  for kind in np.flatnonzero(np.bincount(labels.ravel(), minlength=VOID + 1)[1:VOID]) + 1:
    flat = np.flatnonzero(labels == kind)
    flat = rng.choice(flat, KEPT, replace=False) if len(flat) > KEPT else flat
    found.append(np.stack(np.unravel_index(flat, labels.shape), -1).astype(np.int32))
  return found
