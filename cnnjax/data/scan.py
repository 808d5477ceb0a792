"""Scans: volumes that know where they lie, from files or folders, and class maps written back.

Every format says by an affine where its voxels lie. `read` turns them to one order, so that a
network sees all people alike; `write` turns a class map back to the order of the scan's file.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.errors import UserError, say

SUFFIXES = (".nii", ".nii.gz")  # of files
MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


@dataclass(frozen=True)
class Place:
  """Where the voxels of a file lie: what is needed to write a map that lies there too.

  Attributes:
    affine: [4, 4], from the indices (i, j, k) of a voxel in the file to how far its centre lies to
      the Right, Anterior and Superior of an origin (RAS+).
    shape: of the file, (I, J, K) or more.
    units: of the distances, "mm", "meter", "micron" or "unknown", which is taken for mm.
    header: the file's, where it is NIfTI.
    seconds: between the volumes of a series, where it is told.
  """

  affine: np.ndarray
  shape: tuple[int, ...]
  units: str = "mm"
  header: Any = None
  seconds: float | None = None

  @property
  def codes(self) -> str:
    """Where the three indices grow to, as "LPS" for Left, Posterior, Superior."""
    from nibabel.orientations import aff2axcodes

    return "".join(aff2axcodes(self.affine))

  @property
  def order(self) -> np.ndarray:
    """For each index of the file, which of R, A and S it is nearest to, and its sign: [3, 2]."""
    from nibabel.orientations import io_orientation

    return io_orientation(self.affine)

  @property
  def spacing(self) -> tuple[float, float, float]:
    """Millimetres between voxels along (depth, height, width)."""
    sizes = np.linalg.norm(self.affine[:3, :3], axis=0) * MILLIMETRES[self.units]
    return tuple(float(sizes[axis]) for axis in self._axes())

  @property
  def size(self) -> tuple[int, int, int]:
    """(depth, height, width)."""
    return tuple(self.shape[axis] for axis in self._axes())

  def _axes(self) -> list[int]:
    """Returns which index of the file is depth, height and width."""
    return np.argsort(self.order[:, 0])[::-1].tolist()


class Scan(np.ndarray):
  """A volume [D, H, W] or [D, H, W, C], or a series of them [T, D, H, W], that knows where it lies.

  Depth goes from the feet to the head, height from the back to the front and width from the left to
  the right of the person: RAS+, transposed. Views, slices and results have the attributes of the
  array they are made of, unchanged, also where their axes are others.

  Attributes:
    spacing: millimetres of a voxel along (depth, height, width).
    place: where the file's voxels lie.
    seconds: from a volume of a series to the next, None where it is no series or not told.
  """

  spacing: tuple[float, float, float] | None
  place: Place | None
  seconds: float | None

  def __new__(
    cls,
    array: np.ndarray,
    spacing: tuple[float, float, float] | None = None,
    place: Place | None = None,
    seconds: float | None = None,
  ) -> "Scan":
    """Returns a view of an array."""
    found = np.asarray(array).view(cls)
    found.spacing, found.place, found.seconds = spacing, place, seconds
    return found

  def __array_finalize__(self, source: Any) -> None:
    """Takes over the attributes of the array that this one is made of."""
    for name in ("spacing", "place", "seconds"):
      setattr(self, name, getattr(source, name, None))

  def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False):
    """Returns a sum, a maximum and the like as a number, not as a Scan without axes."""
    if return_scalar:
      return array[()]
    return super().__array_wrap__(array, context, return_scalar)

  def __reduce__(self) -> tuple:
    """Keeps the attributes where a process sends a scan to another."""
    return Scan, (np.asarray(self), self.spacing, self.place, self.seconds)


def suffix_of(path: Path) -> str:
  """Returns the suffix of a file's name in small letters, ".nii.gz" in one; "" for a folder."""
  if path.is_dir():
    return ""
  whole = path.name.lower()
  return next((suffix for suffix in SUFFIXES if whole.endswith(suffix)), path.suffix.lower())


def stem_of(path: Path) -> str:
  """Returns the name of a file without its suffix, or of a folder."""
  return path.name[: len(path.name) - len(suffix_of(path))]


def is_scan(path: Path) -> bool:
  """Returns whether a path is a NIfTI file, or a folder of DICOM files or images and no folders."""
  if path.name.startswith("."):
    return False
  if not path.is_dir():
    return suffix_of(path) in SUFFIXES
  return not any(p.is_dir() for p in path.iterdir()) and _kind(path) is not None


def head(
  path: Path,
  series: bool = False,
  channels: bool = False,
  spacing: tuple[float, float, float] | None = None,
) -> tuple[tuple[int, ...], tuple[float, float, float]]:
  """Returns the shape and the spacing that `read` gives, without reading voxels."""
  place, _ = _found(path, spacing)
  return shape_of(path, place, series, channels), place.spacing


def shape_of(path: Path, place: Place, series: bool = False, channels: bool = False) -> tuple:
  """Returns the shape that `read` gives of a file that lies there. Raises: UserError as it does."""
  many = _many(path, place.shape, series, channels)
  return (*many, *place.size) if series else (*place.size, *many)


def place_of(path: Path) -> Place:
  """Returns where a file's voxels lie, without reading them. Raises: UserError as `read` does."""
  return _found(path, None)[0]


def apart(one: Place, other: Place) -> float:
  """Returns how far voxels of one lie from those of another of its size, in voxels, at most.

  Both are turned to the order that `read` gives.
  """
  from nibabel.orientations import inv_ornt_aff

  turned = [p.affine @ inv_ornt_aff(p.order, p.shape[:3]) for p in (one, other)]
  corners = np.stack(np.meshgrid(*([0, side - 1] for side in one.size[::-1])), -1)
  corners = np.pad(corners.reshape(-1, 3), [(0, 0), (0, 1)], constant_values=1)
  moved = np.linalg.solve(turned[0], turned[1] @ corners.T).T - corners
  return float(np.abs(moved).max())


def read(
  path: Path,
  series: bool = False,
  channels: bool = False,
  spacing: tuple[float, float, float] | None = None,
) -> Scan:
  """Returns the volume [D, H, W] of a NIfTI file, or of a folder of DICOM files or images.

  Values are the file's integers, or float32 where it holds others or scales them. What is not
  finite, as NaN outside of a brain, becomes the smallest value (infinity the largest), and is told.

  Args:
    path: the file, or the folder.
    series: whether the file holds several volumes, one after the other in time: [T, D, H, W].
    channels: whether each voxel may have several values: [D, H, W, C].
    spacing: millimetres along (depth, height, width) of a folder of images, (1, 1, 1) by default;
      the other kinds tell their own.

  Raises: UserError for what is missing, damaged, not of these kinds or of another number of axes,
    and for voxels whose place in space or values are not usable.
  """
  from nibabel.orientations import apply_orientation

  place, load = _found(path, spacing)
  many = _many(path, place.shape, series, channels)
  voxels = _finite(path, load()).reshape(*place.shape[:3], *many)
  voxels = apply_orientation(voxels, place.order)
  axes = (3, 2, 1, 0) if series else (2, 1, 0, 3)[: voxels.ndim]
  voxels = np.ascontiguousarray(voxels.transpose(axes))
  return Scan(voxels, place.spacing, place, place.seconds if series else None)


def write(segments: np.ndarray, like: Scan, path: Path) -> None:
  """Writes a class map uint8 [D, H, W] as NIfTI, completely or not at all.

  It lies in the file as the scan `like` lies in its own: same affine, order of voxels and units.

  Raises: UserError for a map of another size or type, and a file that cannot be written.
  """
  from cnnjax.data import nifti

  segments, place = np.asarray(segments), like.place
  if segments.dtype != np.uint8 or segments.shape != place.size:
    raise UserError(
      f"a class map for {path} must be uint8 {place.size}, as its scan; found {segments.dtype} "
      f"{segments.shape}"
    )
  if suffix_of(path) not in SUFFIXES:
    raise UserError(f"a class map of a scan is written as {' or '.join(SUFFIXES)}; found {path}")
  voxels = segments.transpose(2, 1, 0)  # indices to the Right, Anterior and Superior
  axes = place.order[:, 0].astype(int)
  voxels = np.flip(voxels.transpose(axes), np.flatnonzero(place.order[:, 1] < 0))
  nifti.write(path, voxels, place)


def _kind(path: Path) -> Any:
  """Returns the module that reads what a path is, None where none does."""
  from cnnjax.data import dicom, nifti, slices

  if path.is_dir():
    return next((kind for kind in (dicom, slices) if kind.holds(path)), None)
  return nifti if suffix_of(path) in SUFFIXES else None


def _found(path: Path, spacing: Any) -> tuple[Place, Callable[[], np.ndarray]]:
  """Returns where the voxels of a path lie, and what reads them in the file's order."""
  if not path.exists():
    raise UserError(f"no scan at {path}")
  kind = _kind(path)
  if kind is None:
    raise UserError(
      f"{path} is no scan; expected a file ending in {' or '.join(SUFFIXES)}, or a folder of DICOM "
      "files or of slices as images"
    )
  place, load = kind.find(path, spacing)
  if 0 in place.shape:
    raise UserError(f"{path} of shape {place.shape} holds no voxel")
  return place, load


def _many(path: Path, shape: tuple[int, ...], series: bool, channels: bool) -> tuple[int, ...]:
  """Returns () for one volume, else (number of volumes or of channels,).

  Raises: UserError where a file's shape is not what was asked for.
  """
  more = [size for size in shape[3:] if size > 1]  # axes of length 1 are dropped
  if len(shape) < 3 or len(more) > 1:
    raise UserError(f"{path} of shape {shape} has {len(shape)} axes; expected a volume of 3")
  if series and len(shape) < 4:
    raise UserError(f"{path} of shape {shape} is one volume; expected a series of them")
  if more and not (series or channels):
    raise UserError(
      f"{path} of shape {shape} is a series of {more[0]} volumes; expected one volume, or for its "
      f"channels data.channels={more[0]}"
    )
  return (math.prod(more),) if series or channels else ()


def _finite(path: Path, voxels: np.ndarray) -> np.ndarray:
  """Returns voxels as integers of this machine's order of bytes, or finite float32."""
  if voxels.dtype.kind in "iu":
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
  with np.errstate(over="ignore"):  # becomes infinite, and is told
    voxels = voxels.astype(np.float32, copy=False)
  finite = np.isfinite(voxels)
  wrong = voxels.size - np.count_nonzero(finite)
  if wrong == voxels.size:
    raise UserError(f"{path} holds no finite value")
  if wrong:
    low, high = voxels[finite].min(), voxels[finite].max()
    tell(f"{path} has {wrong:,} voxels that are not finite; they are set to {low:g}")
    voxels = np.nan_to_num(voxels, nan=low, posinf=high, neginf=low)
  return voxels


@cache
def tell(text: str) -> None:
  """Says something once, however often a file is read."""
  say(text)
