"""Generated volumes: a ball and a box in noise, which can be learnt in a few steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnjax.data.stream import Stream
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown

CLASSES = ("background", "ball", "box")


@dataclass(frozen=True, eq=False)
class Held:
  """Volumes, or their labels, of several sizes in memory: held([2]) -> [1, D, H, W, ...].

  Attributes:
    arrays: of the volumes.
    seed: of a training's windows.
  """

  arrays: Sequence[np.ndarray]
  seed: int = 0
  cache = ""  # what is prepared of them is held in memory too

  def __call__(self, rows: np.ndarray) -> np.ndarray:
    (row,) = rows.tolist()
    return self.arrays[row][None]


def load(
  root: str,
  seed: int,
  *,
  examples: int = 64,
  size: int = 24,
  label: str = "segments",
  contrast: float = 2.0,
) -> dict[str, Table]:
  """Returns a train and a test split of volumes of several sizes, as `volumes.load` does.

  Args:
    root: not used.
    seed: of all that is drawn.
    examples: of each split.
    size: of the largest sides; the least are two thirds of it.
    label: "segments": a volume has a ball and a box, and each voxel a class; "class": it has one of
      the two, its class.
    contrast: of both, in deviations of the noise.

  Raises: UserError for another label, and for sizes too small to hold them.
  """
  del root
  if label not in ("segments", "class"):
    raise unknown("data.arguments.label", label, ("segments", "class"))
  if size < 12 or examples < 2:
    raise UserError(f"solids need a size of at least 12 and 2 examples; found {size}, {examples}")
  return {
    split: _split(np.random.default_rng([seed, place]), examples, size, label, contrast, seed)
    for place, split in enumerate(("train", "test"))
  }


def _split(rng, examples, size, label, contrast, seed) -> Table:
  volumes, maps, kinds = [], [], np.arange(examples) % 2
  for kind in kinds:
    there = (1, 2) if label == "segments" else (int(kind) + 1,)
    found = np.zeros(rng.integers(2 * size // 3, size + 1, 3), np.uint8)
    for one in there:
      found[_solid(rng, found.shape, one)] = one
    noise = rng.normal(0, 1, found.shape)
    volumes.append((noise + contrast * (found > 0)).astype(np.float32)[..., None])
    maps.append(found)
  sizes, places = np.asarray([one.shape for one in maps]), np.arange(examples)
  row, options = tuple(sizes.max(0).tolist()), dict(ragged=True)
  columns = {
    "volume": Stream(Held(volumes, seed), places, (*row, 1), dtype=np.dtype("f4"), **options),
    "spacing": np.ones((examples, 3), np.float32),
    "size": sizes,
  }
  if label == "class":
    return Table({**columns, "label": kinds.astype(np.int32)}, CLASSES[1:])
  return Table({**columns, "segments": Stream(Held(maps), places, row, **options)}, CLASSES)


def _solid(rng: np.random.Generator, shape: Sequence[int], kind: int) -> np.ndarray:
  """Returns the voxels of a ball (1) or a box (2) that lies anywhere in a volume of this shape."""
  radius = min(shape) / rng.uniform(4, 6)
  centre = [rng.uniform(radius, side - radius) for side in shape]
  away = [(n + 0.5 - c) / radius for n, c in zip(np.indices(shape), centre)]
  return (np.square(away).sum(0) if kind == 1 else np.abs(away).max(0) * 1.2) <= 1
