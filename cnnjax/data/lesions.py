"""Volumes of the hippocampus, or any others, with a lesion planted in half of them."""

from dataclasses import dataclass

import numpy as np

from cnnjax.data import volumes
from cnnjax.data.stream import Stream
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.volume import VolumePreprocessing

CLASSES = ("none", "lesion")
SOFT = 0.25  # part of a lesion's radius over which its border fades


@dataclass(frozen=True, eq=False)
class Planted:
  """Volumes of which some are read with a lesion: planted([2]) -> [1, D, H, W, C].

  Attributes:
    files: what reads the volumes as they are.
    label: [N], 1 for those that get a lesion.
    spacing: [N, 3] of their voxels in millimetres.
    contrast: how far a lesion is above what lies there, in deviations of its volume.
    radius: in millimetres.
    seed: of where lesions lie.
  """

  files: volumes.Files
  label: np.ndarray
  spacing: np.ndarray
  contrast: float
  radius: float
  seed: int

  def __call__(self, rows: np.ndarray) -> np.ndarray:
    found = self.files(rows).astype(np.float32)
    (row,) = rows.tolist()
    if self.label[row]:
      found += (self.contrast * found.std() * self.lesion(row, found.shape[1:4]))[None, ..., None]
    return found

  def lesion(self, row: int, size: tuple[int, int, int]) -> np.ndarray:
    """Returns how much of a lesion each voxel holds, from 0 to 1: a ball with a soft border.

    Its centre is anywhere in the volume, but a radius away from its borders where there is room.
    """
    rng, spacing = np.random.default_rng([self.seed, row]), self.spacing[row]
    room = np.maximum(0, np.asarray(size) * spacing - 2 * self.radius)
    centre = (np.asarray(size) * spacing - room) / 2 + rng.uniform(0, 1, 3) * room
    places = [(n + 0.5) * mm - c for n, mm, c in zip(np.indices(size), spacing, centre)]
    away = np.sqrt(np.square(places).sum(0)) / self.radius
    return np.clip((1 - away) / SOFT, 0, 1)


def load(
  root: str,
  seed: int,
  *,
  to: VolumePreprocessing,
  contrast: float = 2.0,
  radius: float = 4.0,
  images: str = "imagesTr",
  segments: str = "labelsTr",
  test: float = 0.2,
  on_error: str = "raise",
) -> dict[str, Table]:
  """Returns the volumes that `volumes.load` reads, with `label` 1 for those with a lesion.

  A lesion is a ball, brighter than what lies there, in a random half of the volumes, at a random
  place; so nothing but the lesion tells the two classes apart.

  Args:
    root: as for `volumes.load`, whose labels of voxels are not used.
    seed: of the test split, and of the lesions.
    to: the run's preprocessing.
    contrast: of lesions, in deviations of the volume's values.
    radius: of lesions, in millimetres.
    images: as for `volumes.load`.
    segments: as for `volumes.load`.
    test: the part of the volumes that becomes the test split, where there is none.
    on_error: as for `volumes.load`.

  Raises: UserError as `volumes.load` does, and for a radius that is not above 0.
  """
  if radius <= 0:
    raise UserError(f"the radius of lesions must be above 0 mm; found {radius}")
  options = dict(images=images, segments=segments, test=test, on_error=on_error)
  splits = volumes.load(root, seed, to=to, **options)
  raw = splits["train"].columns["volume"]
  count = 1 + max(part.columns["volume"].indices.max() for part in splits.values())
  label = np.random.default_rng([seed, count]).permutation(np.arange(count) % 2).astype(np.int32)
  spacing = np.zeros((count, 3))
  for part in splits.values():
    spacing[part.columns["volume"].indices] = part.columns["spacing"]
  planted = Planted(raw.read, label, spacing, contrast, radius, seed)
  found = {}
  for split, part in splits.items():
    places = part.columns["volume"].indices
    column = Stream(planted, places, raw.row, ragged=True, dtype=np.dtype("f4"))
    rest = {key: part.columns[key] for key in ("spacing", "size")}
    columns = {"volume": column, **rest, "label": label[places]}
    found[split] = Table(columns, CLASSES, part.names, part.drawn)
  return found
