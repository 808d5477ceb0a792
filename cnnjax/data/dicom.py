"""DICOM series: a folder with a file for each slice, read by pydicom, which is the extra `dicom`.

What a slice tells of its place is in the standard's PS3.3, C.7.6.2 (image plane module).
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data.scan import Place, tell
from cnnjax.errors import UserError

MAGIC = b"DICM"  # after 128 bytes of anything
NEEDED = ("Rows", "Columns", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")
NUMBERS = {  # what is read of a slice, and how many numbers it is
  **{"NumberOfFrames": 1, "SamplesPerPixel": 1, "Rows": 1, "Columns": 1},
  **{"ImageOrientationPatient": 6, "ImagePositionPatient": 3, "PixelSpacing": 2},
  **{"SpacingBetweenSlices": 1, "SliceThickness": 1, "RescaleSlope": 1, "RescaleIntercept": 1},
}
SAME = {"Rows": 0, "Columns": 0, "PixelSpacing": 1e-4, "ImageOrientationPatient": 1e-3}
SMALLEST = 1e-3  # millimetres between two slices
EVEN = 0.05  # part of their distance by which slices may be off: positions are rounded
TILT = 1.0  # degrees between the normal of slices and the way from one to the next, to be told


def holds(folder: Path) -> bool:
  """Returns whether a folder holds a DICOM file."""
  return any(_is_dicom(path) for path in folder.iterdir())


def find(folder: Path, spacing: Any = None) -> tuple[Place, Callable[[], np.ndarray]]:
  """Returns where the voxels of a series lie, and a function that reads them: [X, Y, Z].

  X is the column and Y the row of a pixel; Z counts slices along their normal.

  Raises: UserError where pydicom is missing, a file is damaged or no slice, slices are missing, lie
    differently or belong to several series.
  """
  heads = {path: _head(path) for path in sorted(folder.iterdir()) if _is_dicom(path)}
  _check_series(folder, heads)
  first = next(iter(heads.values()))
  right, down = _numbers(first, "ImageOrientationPatient").reshape(2, 3)
  normal = np.cross(right, down)
  corners = {path: _numbers(head, "ImagePositionPatient") for path, head in heads.items()}
  files = sorted(heads, key=lambda path: float(corners[path] @ normal))
  _check_even(folder, files, np.diff([corners[path] @ normal for path in files]))
  if len(files) > 1:
    step = (corners[files[-1]] - corners[files[0]]) / (len(files) - 1)
  else:
    step = normal * _thickness(files[0], first)
  _tell_tilt(folder, step, normal)
  row, column = _numbers(first, "PixelSpacing")  # between rows, then between columns
  affine = np.eye(4)
  affine[:3] = np.stack([right * column, down * row, step, corners[files[0]]], 1)
  affine[:2] *= -1  # DICOM counts to the Left and Posterior
  place = Place(affine, (int(first.Columns), int(first.Rows), len(files)))
  return place, partial(_voxels, {path: heads[path] for path in files})


def _is_dicom(path: Path) -> bool:
  """Returns whether a file is DICOM by its suffix, or by its bytes if it has none.

  The last number of a file named by a UID is no suffix.
  """
  suffix = path.suffix.lower()
  if path.name[0] == "." or path.name.upper() == "DICOMDIR" or not path.is_file():
    return False
  if suffix in ("", ".ima") or suffix[1:].isdigit():
    with path.open("rb") as file:
      return file.read(132)[128:] == MAGIC
  return suffix in (".dcm", ".dicom")


def _opened(path: Path, tags: list[str] | None = None) -> Any:
  """Returns pydicom's data set of a file, or some of its tags, without pixels.

  Raises: UserError for what is no DICOM, or damaged.
  """
  try:
    import pydicom
  except ModuleNotFoundError:
    raise UserError(f"{path} needs pydicom to be read: pip install 'cnnjax[dicom]'") from None
  try:
    found = pydicom.dcmread(path, stop_before_pixels=tags is not None, specific_tags=tags)
    if tags is not None:
      list(found)  # values are decoded when they are asked for
    return found
  except Exception as error:  # a damaged file raises errors of struct, zlib, pydicom, ...
    what = str(error).split("\n")[0] or type(error).__name__
    raise UserError(f"{path} cannot be read as DICOM: {what}") from error


def _head(path: Path) -> Any:
  """Returns what a slice tells of its place. Raises: UserError where that is not enough."""
  found = _opened(path, ["SeriesInstanceUID", *NUMBERS])
  if (found.get("NumberOfFrames") or 1) != 1:
    raise UserError(
      f"{path} holds {found.NumberOfFrames} slices; expected one a file, or NIfTI of them all"
    )
  for name, count in NUMBERS.items():
    if found.get(name) not in (None, ""):
      try:
        right = np.isfinite(_numbers(found, name)).sum() == count
      except (TypeError, ValueError):  # pydicom leaves some texts as they are
        right = False
      if not right:
        raise UserError(f"{path} has {name} {found[name].value}; expected {count} finite numbers")
    elif name in NEEDED:
      raise UserError(f"{path} tells no {name}; expected a slice of a volume, as of CT or MRI")
  if (found.get("SamplesPerPixel") or 1) != 1:
    raise UserError(f"{path} holds colours; expected one number a pixel")
  if not (_numbers(found, "PixelSpacing") > 0).all():
    raise UserError(f"{path} has PixelSpacing {found.PixelSpacing}; expected two numbers above 0")
  axes = _numbers(found, "ImageOrientationPatient").reshape(2, 3)
  if not np.allclose(axes @ axes.T, np.eye(2), atol=0.01):
    raise UserError(f"{path} has rows and columns that are not at right angles: {axes.tolist()}")
  return found


def _numbers(head: Any, name: str) -> np.ndarray:
  """Returns the numbers of an entry, [N]."""
  return np.atleast_1d(np.asarray(head[name].value, float))


def _check_series(folder: Path, heads: dict[Path, Any]) -> None:
  """Raises: UserError for files of several series, and for slices that differ in size or direction.

  Of the long identifiers of series the ends are told.
  """
  series = Counter(str(head.get("SeriesInstanceUID", "")) for head in heads.values())
  if len(series) > 1:
    named = [f"...{uid[-12:]} ({many} files)" for uid, many in series.most_common(2)]
    raise UserError(
      f"{folder} holds {len(series)} series, {' and '.join(named)}; expected a folder for each"
    )
  first = next(iter(heads.values()))
  for path, head in heads.items():
    for name, near in SAME.items():
      have, want = _numbers(head, name), _numbers(first, name)
      if not np.allclose(have, want, rtol=0, atol=near):
        raise UserError(
          f"{path} has {name} {have.tolist()}, and another slice of its series {want.tolist()}"
        )


def _check_even(folder: Path, files: list[Path], gaps: np.ndarray) -> None:
  """Raises: UserError for slices that are missing, or lie at the same place."""
  if not len(gaps):
    return
  usual = float(np.median(gaps))
  for gap, before, after in zip(gaps, files, files[1:]):
    pair = f"{before.name} and {after.name}"
    if gap < SMALLEST:
      raise UserError(
        f"{folder} holds {pair}, which lie at the same place; expected one volume, not a series"
      )
    if abs(gap - usual) > EVEN * usual:
      raise UserError(
        f"{folder} lacks slices, or they are uneven: {pair} lie {gap:g} mm apart, most {usual:g} mm"
      )


def _thickness(path: Path, head: Any) -> float:
  """Returns the height in millimetres of a slice that is alone."""
  found = head.get("SpacingBetweenSlices") or head.get("SliceThickness") or 0
  if not 0 < float(found) < np.inf:
    raise UserError(f"{path} is the only slice of its series, and does not tell how thick it is")
  return float(found)


def _tell_tilt(folder: Path, step: np.ndarray, normal: np.ndarray) -> None:
  cosine = abs(step @ normal) / (np.linalg.norm(step) * np.linalg.norm(normal))
  angle = np.degrees(np.arccos(min(1.0, cosine)))
  if angle > TILT:
    tell(f"the slices of {folder} are shifted by a tilt of {angle:.1f} degrees; so is the volume")


def _voxels(heads: dict[Path, Any]) -> np.ndarray:
  """Returns the slices [X, Y, Z]: stored integers, or float32 where one of them is rescaled."""
  scales = [
    (float(head.get("RescaleSlope") or 1), float(head.get("RescaleIntercept") or 0))
    for head in heads.values()
  ]
  slices = [_pixels(path) for path in heads]
  if any(scale != (1, 0) for scale in scales):
    slices = [
      np.float32(slope) * one + np.float32(inter) for one, (slope, inter) in zip(slices, scales)
    ]
  return np.stack(slices).T


def _pixels(path: Path) -> np.ndarray:
  """Returns the stored pixels of a slice [Y, X]. Raises: UserError where they cannot be decoded."""
  found = _opened(path)
  try:
    return found.pixel_array
  except Exception as error:  # of pydicom and its decoders
    syntax = found.file_meta.get("TransferSyntaxUID")
    if syntax is not None and syntax.is_compressed:
      raise UserError(
        f"{path} is compressed as {syntax.name}, which pydicom cannot decode here: pip install "
        "pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
      ) from error
    raise UserError(f"{path} has pixels that cannot be decoded: {error}") from error
