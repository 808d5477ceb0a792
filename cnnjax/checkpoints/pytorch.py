"""PyTorch's own files, read without running what they hold."""

import argparse
import collections
import pathlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.errors import UserError

SAVED_BY = "torch.save(model.state_dict(), 'weights.pth')"
TABLES = 1000  # in a file, at most


def read(path: Path) -> dict[str, np.ndarray]:
  """Returns the tensors of a file by name; those of tables in tables have joined names.

  So {"model": {"conv1.weight": ...}, "epoch": 3} gives "model.conv1.weight" alone.

  Raises: UserError where PyTorch is missing, or the file is damaged, holds code or no tensors.
  """
  try:
    import torch
  except ImportError:
    raise UserError(f"{path} needs PyTorch to be read: pip install 'cnnjax[parity]'") from None
  if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
    raise UserError(f"{path} needs torch 2.6 or newer to be read safely, found {torch.__version__}")
  try:
    _check(path)
    with torch.serialization.safe_globals(_harmless()):
      found = torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:  # unpickling raises errors of many types
    raise UserError(f"{path} is refused: {_why(str(error))}") from error
  tensors = dict(_joined(found, "", set())) if isinstance(found, dict) else {}
  if not tensors:
    held = _kind(found)
    if isinstance(found, dict) and found:
      held = ", ".join(f"{key} ({_kind(value)})" for key, value in [*found.items()][:8])
    raise UserError(f"{path} holds no table of tensors (a PyTorch state_dict), but {held}")
  try:
    return {name: _array(value) for name, value in tensors.items()}
  except (RuntimeError, TypeError, ValueError) as error:  # sparse, quantised, without numbers
    reason = str(error).strip().partition("\n")[0]
    raise UserError(f"{path} holds a tensor that cannot be read: {reason}") from error


def _check(path: Path) -> None:
  """Raises: ValueError for an archive whose parts lack their checksums, which PyTorch ignores."""
  if not zipfile.is_zipfile(path):
    return  # an older file, or a cut one
  with zipfile.ZipFile(path) as archive:
    claimed, size = sum(part.file_size for part in archive.infolist()), path.stat().st_size
    if claimed > 4 * size + 2**20:  # tensors are stored as they are
      raise ValueError(f"it claims to hold {claimed} bytes in {size}")
    if damaged := archive.testzip():
      raise ValueError(f"its part {damaged} does not have its checksum")


def _harmless() -> list[Any]:
  """Returns what checkpoints hold beside tensors, and what only keeps the values it is given."""
  rebuild, scalar = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]
  older = [(f, f"numpy.core.multiarray.{f.__name__}") for f in (rebuild, scalar)]  # than NumPy 2
  dtypes = [kind for kind in vars(np.dtypes).values() if isinstance(kind, type)]
  plain = [argparse.Namespace, collections.defaultdict, list, dict, set, int, float, str, bool]
  paths = [pathlib.PosixPath, pathlib.PurePosixPath]
  return [rebuild, scalar, *older, np.ndarray, np.dtype, *dtypes, *plain, *paths]


def _why(error: str) -> str:
  """Returns why PyTorch does not load a file, from what PyTorch says."""
  if found := re.search(r"GLOBAL (\S+)", error):
    return (
      f"it holds more than tensors: {found[1]}, and such objects can run code; where you trust "
      f"the file, open it in PyTorch and save its tensors alone by {SAVED_BY}"
    )
  if "TorchScript" in error:
    return f"it holds more than tensors: a program (TorchScript); save them alone by {SAVED_BY}"
  reason = re.sub(r"\x1b\[\d*m", "", error).strip().partition("\n")[0]
  shown = "" if not reason or "weights_only" in reason else f" ({reason})"
  return f"it holds more than tensors, or is damaged{shown}"


def _joined(table: dict, above: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
  """Yields the tensors of a table, and of each table in it once, with joined names."""
  import torch

  seen.add(id(table))
  for key, value in table.items():
    if isinstance(value, dict) and id(value) not in seen and len(seen) < TABLES:
      yield from _joined(value, f"{above}{key}.", seen)
    elif isinstance(value, torch.Tensor | np.ndarray):
      yield f"{above}{key}", value


def _array(value: Any) -> np.ndarray:
  """Returns a tensor's numbers, floats as float32. Raises: ValueError for one of too many."""
  if isinstance(value, np.ndarray):
    return value
  value = value.detach()  # parameters ask for gradients
  if value.numel() * value.element_size() > value.untyped_storage().nbytes():
    raise ValueError(f"a shape {tuple(value.shape)} that is larger than what is stored")
  return (value.float() if value.is_floating_point() else value).numpy()


def _kind(value: Any) -> str:
  """Returns in words what an entry of a file is."""
  if isinstance(value, dict | list | tuple | set):
    return f"a {type(value).__name__} of {len(value)}"
  return f"a {type(value).__name__}"
