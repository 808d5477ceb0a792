"""NumPy's files, read without unpickling anything, within the memory."""

import math
import zipfile
from pathlib import Path

import numpy as np

from cnnjax.data.stream import check_memory
from cnnjax.errors import UserError

HEADERS = {
  (1, 0): np.lib.format.read_array_header_1_0,
  (2, 0): np.lib.format.read_array_header_2_0,
}


def read(path: Path, name: str = "") -> np.ndarray | np.lib.npyio.NpzFile:
  """Returns a file's content, or the array of this name in it; a .npy is mapped, not read.

  Raises: UserError for a file that is missing, damaged, larger than the memory, or that holds
    Python objects.
  """
  what = f"{name} of {path}" if name else str(path)
  try:
    if name:
      _check_size(path, name, what)
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    return found[name] if name else found
  except UserError:
    raise
  except FileNotFoundError:
    raise UserError(f"{path} does not exist; expected a file of NumPy's") from None
  except Exception as error:  # a damaged file raises errors of zipfile, zlib, struct, ast, ...
    refused = "object" in str(error).lower() or "pickle" in str(error)
    if isinstance(error, ValueError) and refused:
      raise UserError(
        f"{what} holds Python objects, which could run code when read; expected plain arrays"
      ) from None
    raise UserError(f"{what} cannot be read as a NumPy array: {error}") from error


def _check_size(path: Path, name: str, what: str) -> None:
  """Raises: UserError where an array of a .npz is larger than its part of the file or the memory.

  Reading would make the whole array first, of any size that its header says.
  """
  with zipfile.ZipFile(path) as whole:
    part = whole.getinfo(f"{name}.npy" if f"{name}.npy" in whole.namelist() else name)
    with whole.open(part) as file:
      version = np.lib.format.read_magic(file)
      if version not in HEADERS:
        raise UserError(f"{what} is of version {version} of NumPy's format; expected 1.0 or 2.0")
      shape, _, dtype = HEADERS[version](file)
  promised = math.prod(shape) * dtype.itemsize
  if not 0 <= promised <= part.file_size:
    raise UserError(
      f"{what} is damaged: its header promises {shape} of {dtype}, {promised:,} bytes, in a part "
      f"of {part.file_size:,}"
    )
  how = "a folder of .npy files is not read into the memory"
  check_memory(f"rows in {what}", (*(shape or (1,)), dtype.itemsize), how)
