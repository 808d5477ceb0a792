"""IDX files, the format of MNIST and of the data sets that follow it."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from cnnjax.data.split import SPLITS, find_splits
from cnnjax.data.stream import check_memory
from cnnjax.data.table import Table
from cnnjax.errors import UserError

FILES = {  # split: images, labels
  "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
  "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
KINDS = ("{split}-images-idx3-ubyte", "{split}-labels-idx1-ubyte")  # of any split
DENSEST = 1100  # bytes that one of gzip can hold: 1,032 and some


def load(root: str, seed: int, *, prefix: str = "") -> dict[str, Table]:
  """Returns the splits of a folder with the four IDX files of MNIST, gzipped or not.

  In place of train and t10k any spelling in `split.SPLITS` may stand, and there may be files of a
  validation split. With prefix "emnist-digits-" the files are those of one of EMNIST's sets.

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
  splits, there = {}, [_find(folder, prefix + kind) for kind in KINDS]
  for split in SPLITS:
    if split not in FILES and not any(split in of_kind for of_kind in there):
      continue
    paths = [of_kind.get(split) for of_kind in there]
    for path, name in zip(paths, FILES.get(split, (k.format(split=split) for k in KINDS))):
      if path is None:
        raise UserError(
          f"data.root {folder} has no {prefix}{name}.gz (nor {prefix}{name}){_near(folder)}"
        )
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


def _find(folder: Path, kind: str) -> dict[str, Path]:
  """Returns the file of each split, the gzipped one where there are both."""
  found: dict[str, Path] = {}
  for pattern in (kind.replace("-idx", ".idx"), kind, f"{kind}.gz"):
    found |= {s: path for s, path in find_splits(folder, pattern).items() if path.is_file()}
  return found


def _near(folder: Path) -> str:
  """Returns the end of a message: which prefixes IDX files of a training split have there."""
  kind = FILES["train"][0].replace("-idx", "?idx")
  found = sorted({path.name.partition("train-images")[0] for path in folder.glob(f"*{kind}*")})
  return f"; 'prefix' in data.arguments may be {' or '.join(map(repr, found))}" if found else ""


def read(path: Path) -> np.ndarray:
  """Returns the array of unsigned bytes in one IDX file, gzipped if its name ends in .gz.

  Raises: UserError where the file is truncated, damaged, or no IDX file of bytes, and before
    anything is read where its header promises more than the file or the memory can hold.
  """
  zipped = path.suffix == ".gz"
  try:
    most = path.stat().st_size * (DENSEST if zipped else 1)
    with gzip.open(path) if zipped else path.open("rb") as file:
      magic = file.read(4)
      rank = magic[3] if len(magic) == 4 else 0
      sizes = file.read(4 * rank)
      if magic[:3] != b"\0\0\x08" or len(sizes) < 4 * rank or not 0 < rank < 9:
        start = magic.hex() or "nothing"
        raise UserError(f"{path} is no IDX file of bytes: it begins with {start}")
      shape = tuple(np.frombuffer(sizes, ">u4").tolist())
      promised = math.prod(shape)
      if promised <= most:
        check_memory(f"rows of {path}", shape, "a part of the set needs less")
        data, follow = memoryview(bytearray(promised)), 0
        while read := file.readinto(data[follow : follow + 2**24]):  # gzip holds that part twice
          follow += read
        follow += len(file.read(1))  # also checks gzip's sum
        told = f"{'at least ' if follow > promised else ''}{follow}"
      else:
        follow = most if zipped else most - 4 - 4 * rank
        told = f"at most {follow} can" if zipped else f"{follow}"
  except EOFError:
    raise UserError(f"{path} is truncated: its gzip stream ends too early") from None
  except (OSError, zlib.error) as error:
    raise UserError(f"{path} cannot be read: {error}") from error
  if follow != promised:
    raise UserError(
      f"{path} is truncated or damaged: its header promises {shape}, {promised} bytes, and {told} "
      "follow"
    )
  return np.frombuffer(data, np.uint8).reshape(shape)
