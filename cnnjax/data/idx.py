"""IDX files, the format of MNIST and of the data sets that follow it."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from cnnjax.data.table import Table
from cnnjax.errors import UserError

FILES = {  # split: images, labels
  "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
  "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def load(root: str, seed: int) -> dict[str, Table]:
  """Returns the splits train and test of a folder with the four IDX files, gzipped or not.

  Raises: UserError for a folder or file that is missing or truncated, and for files that do not fit
    together.
  """
  del seed
  if not root:
    raise UserError(
      "data.root is empty; expected the folder that holds the four IDX files: "
      "--config.data.root=FOLDER"
    )
  folder = Path(root).expanduser()
  if not folder.is_dir():
    raise UserError(f"data.root {root} is no folder; expected one with {FILES['train'][0]}.gz ...")
  splits = {}
  for split, names in FILES.items():
    paths = [_find(folder, name) for name in names]
    image, label = (read(path) for path in paths)
    if image.ndim not in (3, 4) or label.ndim != 1:
      raise UserError(
        f"{paths[0]} has shape {image.shape} and {paths[1]} {label.shape}; "
        "expected images [N, H, W] and labels [N]"
      )
    if len(image) != len(label):
      raise UserError(f"{paths[0]} has {len(image)} images but {paths[1]} {len(label)} labels")
    image = image[..., None] if image.ndim == 3 else image
    splits[split] = {"image": image, "label": label.astype(np.int32)}
  count = 1 + max(int(s["label"].max(initial=0)) for s in splits.values())
  classes = tuple(str(c) for c in range(count))
  return {split: Table(columns, classes) for split, columns in splits.items()}


def _find(folder: Path, name: str) -> Path:
  for path in (folder / f"{name}.gz", folder / name, folder / name.replace("-idx", ".idx")):
    if path.is_file():
      return path
  raise UserError(f"data.root {folder} has no {name}.gz (nor {name})")


def read(path: Path) -> np.ndarray:
  """Returns the array of unsigned bytes in one IDX file, gzipped if its name ends in .gz.

  Raises: UserError where the file is truncated, damaged, or no IDX file of bytes.
  """
  try:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
  except EOFError:
    raise UserError(f"{path} is truncated: its gzip stream ends too early") from None
  except (OSError, zlib.error) as error:
    raise UserError(f"{path} cannot be read: {error}") from error
  if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
    raise UserError(f"{path} is no IDX file of bytes: it begins with {data[:4].hex() or 'nothing'}")
  head = 4 + 4 * data[3]
  shape = tuple(np.frombuffer(data, ">u4", data[3], 4).tolist())
  if len(data) - head != math.prod(shape):
    raise UserError(
      f"{path} is truncated or damaged: its header promises {shape}, "
      f"{math.prod(shape)} bytes, and {len(data) - head} follow"
    )
  return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
