"""Image folders with one folder for each class."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from cnnjax.data import imagenet
from cnnjax.data.files import tables
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.labels import listed
from cnnjax.data.split import SPLITS, with_test
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown
from cnnjax.ops.preprocess import Preprocessing


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  classes: Sequence[str] = (),
  test: float | str = 0.2,
  on_error: str = "raise",
  stream: str = "",
) -> dict[str, Table]:
  """Returns the splits of ROOT/SPLIT/CLASS/*.png, or those made of ROOT/CLASS/*.png.

  Where the root has ImageNet's lists, they give the names of the classes, and the class of each
  file in a folder val without class folders.

  Args:
    root: holds the folders train, and maybe test and validation (or val), each with one folder for
      each class; or it holds the folders of the classes.
    seed: of the test split, where it has to be made.
    to: the run's preprocessing. Images are resized as they are read; where its channels are 0,
      images are grey if all files are, else RGB.
    classes: the folders to take, in this order; by default all, sorted.
    test: the part of each class that becomes the test split, where there is no folder of it; or
      the name of the folder that is the test split, such as ImageNet's "val".
    on_error: "raise", or "skip" to leave out, and count, the images that cannot be read.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.

  Raises: UserError for a folder that is missing or empty, for classes that differ from those of
    train, for a file that is no image, and for images that have different sizes after
    preprocessing.
  """
  chosen = listed(classes)
  folders = _splits(root, test)
  there = _names(folders["train"])
  names = chosen or there
  place, files = Path(root).expanduser(), {}
  for split, folder in folders.items():
    flat = [] if split == "train" else _flat(folder)  # ImageNet's val
    if flat:
      of_class = imagenet.by_class(place, flat, there)
      files[split] = [of_class[name] for name in names]
    else:
      files[split] = _files(folder, names, bool(chosen))
  index = np.arange(len(names), dtype=np.int32)
  labels = {s: np.repeat(index, [len(of_class) for of_class in p]) for s, p in files.items()}
  paths = {split: list(chain.from_iterable(part)) for split, part in files.items()}
  splits = tables(place, paths, labels, imagenet.names(place, names), to, on_error, stream)
  return with_test(splits, test, seed)


def _splits(root: str, test: float | str) -> dict[str, Path]:
  """Returns the folder of each split; where the root has only classes, train is the root itself."""
  if not root:
    raise UserError(
      "data.root is empty; expected a folder that holds train/CLASS/*.png and test/CLASS/*.png, "
      "or CLASS/*.png: --config.data.root=FOLDER"
    )
  folder = Path(root).expanduser()
  if not folder.is_dir():
    raise UserError(f"data.root {root} is no folder; expected one with a folder for each class")
  places = {split: folder / n for split, ns in SPLITS.items() for n in ns if (folder / n).is_dir()}
  if isinstance(test, str):
    if test in ("", "train") or not (folder / test).is_dir():
      raise UserError(
        "data.arguments.test must be the part to hold out, or the name of a folder beside train; "
        f"found {test!r}"
      )
    places = {s: p for s, p in places.items() if p.name != test} | {"test": folder / test}
  if "test" in places and "train" not in places:
    raise UserError(f"data.root {root} has a folder test, but none named train")
  return places if "train" in places else {"train": folder}


def _names(folder: Path) -> tuple[str, ...]:
  names = tuple(path.name for path in _entries(folder) if path.is_dir())
  if not names:
    raise UserError(f"{folder} holds no folders; expected one for each class, with its images")
  return names


def _flat(folder: Path) -> list[Path]:
  """Returns the image files of a folder that holds no folders."""
  entries = _entries(folder)
  images = [path for path in entries if path.suffix.lower() in SUFFIXES]
  return [] if any(path.is_dir() for path in entries) else images


def _files(folder: Path, names: tuple[str, ...], chosen: bool) -> list[list[Path]]:
  """Returns the image files of each class in a split's folder."""
  there = _names(folder)
  odd = sorted(set(names) - set(there) if chosen else set(names) ^ set(there))
  if odd and chosen:
    raise unknown(f"class of {folder}", odd[0], there)
  if odd:
    raise UserError(f"{folder} and that of train differ in the class folders {', '.join(odd)}")
  files = [[p for p in _entries(folder / n) if p.suffix.lower() in SUFFIXES] for n in names]
  for name, of_class in zip(names, files):
    if not of_class:
      raise UserError(f"{folder / name} holds no image; expected files {' '.join(SUFFIXES)}")
  return files


def _entries(folder: Path) -> list[Path]:
  try:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
  except OSError as error:
    raise UserError(f"{folder} cannot be read: {error.strerror}") from error
