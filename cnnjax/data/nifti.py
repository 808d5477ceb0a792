"""NIfTI files: .nii, plain or compressed, of both versions, read and written by nibabel."""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np

from cnnjax.data.scan import Place
from cnnjax.errors import UserError

KINDS = (nib.Nifti1Image, nib.Nifti2Image)
LONGEST = 540  # bytes of a header
CHUNK = 2**20
SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
GEOMETRY = (  # fields of a header that say where its voxels lie
  *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
  *("sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)


def find(path: Path, spacing: Any = None) -> tuple[Place, Callable[[], np.ndarray]]:
  """Returns where a file's voxels lie, and a function that reads them: [I, J, K, ...].

  A header that gives no affine (qform and sform code 0) is read as nibabel does: its first index
  grows to the left of the person.

  Raises: UserError for a file that is no NIfTI or damaged, for colours and complex numbers, and for
    an affine that gives voxels no place.
  """
  with _opened(path) as (image, _):
    header, affine, dtype = image.header, image.affine, image.get_data_dtype()
  if dtype.kind not in "iuf":
    what = "complex numbers" if dtype.kind == "c" else "colours"
    raise UserError(f"{path} holds {what} ({dtype}); expected one real number a voxel")
  if not np.isfinite(affine).all():
    raise UserError(f"{path} has an affine that is not finite: {affine[:3].tolist()}")
  if not affine[:3, :3].any(0).all():
    raise UserError(f"{path} has voxels of size 0 by its affine: {affine[:3].tolist()}")
  if np.linalg.matrix_rank(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)) < 3:
    raise UserError(
      f"{path} has a singular affine, by which voxels lie in one plane: {affine[:3].tolist()}"
    )
  try:
    units, clock = header.get_xyzt_units()
  except KeyError:  # a code that stands for nothing
    units = clock = "unknown"
  step = float(header["pixdim"][4]) * SECONDS.get(clock, 0)
  seconds = step if np.isfinite(step) and step > 0 else None
  place = Place(affine, tuple(map(int, image.shape)), units, header.copy(), seconds)
  return place, partial(_voxels, path)


def write(path: Path, voxels: np.ndarray, place: Place) -> None:
  """Writes a map uint8 [I, J, K] that lies at a place, completely or not at all."""
  kind = next((k for k in KINDS[::-1] if isinstance(place.header, k.header_class)), KINDS[0])
  header = kind.header_class()
  if place.header is None:
    header.set_data_shape(voxels.shape)
    header.set_qform(place.affine, "scanner")  # sets the sizes of voxels, too
    header.set_sform(place.affine, "scanner")
    header.set_xyzt_units(place.units)
  else:
    header["pixdim"][:4] = place.header["pixdim"][:4]
    for field in GEOMETRY:
      header[field] = place.header[field]
  header.set_data_dtype(np.uint8)
  content = kind(voxels, place.affine, header).to_bytes()
  if path.name.lower().endswith(".gz"):
    content = gzip.compress(content, 6, mtime=0)  # the same map is the same file
  scratch = path.with_name(path.name + ".tmp")
  try:
    with scratch.open("wb") as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    scratch.replace(path)
  except OSError as error:
    scratch.unlink(missing_ok=True)
    raise UserError(f"{path} could not be written: {error.strerror or error}") from error


def _voxels(path: Path) -> np.ndarray:
  with _opened(path) as (image, file):
    data = image.dataobj
    scaled = (data.slope, data.inter) != (1, 0)
    voxels = image.get_fdata(dtype=np.float32) if scaled else data.get_unscaled()
    while file.read(CHUNK):  # a compressed file is checked by the sum at its end
      pass
  return voxels


@contextmanager
def _opened(path: Path) -> Iterator[tuple[nib.Nifti1Image, BinaryIO]]:
  """Yields nibabel's image of a file, and what it is read from. Raises: UserError, as `find`."""
  try:
    with path.open("rb") as plain:
      packed = plain.read(2) == b"\x1f\x8b"
      plain.seek(0)
      with gzip.GzipFile(fileobj=plain) if packed else plain as file:
        start = file.read(LONGEST)
        if not start:
          raise UserError(f"{path} is empty; expected a NIfTI file")
        kind = next((k for k in KINDS if k.header_class.may_contain_header(start)), None)
        if kind is None:
          raise UserError(f"{path} is no NIfTI file: its header is of another kind")
        _check_sizes(path, start, kind)
        file.seek(0)
        yield kind.from_file_map({"image": nib.FileHolder(fileobj=file)}, mmap=False), file
  except UserError:
    raise
  except FileNotFoundError:
    raise UserError(f"no scan at {path}") from None
  except (EOFError, zlib.error) as error:
    raise UserError(f"{path} is damaged or cut off: {error}") from error
  except Exception as error:  # a damaged header raises errors of nibabel, numpy, struct, ...
    what = str(error).split("\n")[0] or type(error).__name__
    raise UserError(f"{path} cannot be read as NIfTI: {what}") from error


def _check_sizes(path: Path, start: bytes, kind: type) -> None:
  """Raises: UserError for voxels of size 0, which nibabel would take for 1, where they count."""
  length = kind.header_class.sizeof_hdr
  header = kind.header_class(start[:length], check=False)
  sizes = header["pixdim"][1:4].tolist()
  if header["sform_code"] <= 0 and 0 in sizes:
    raise UserError(f"{path} has voxels of size 0: {sizes}")
