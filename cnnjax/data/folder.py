"""Image folders, a folder a class: the layout in which most people hold their images."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from cnnjax.data.image import SUFFIXES, fit, read
from cnnjax.data.split import hold_out
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown
from cnnjax.ops.preprocess import Preprocessing

SPLITS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
PART = 64  # files that a thread reads at a time: a turn for each small one takes longer


def load(
  root: str, seed: int, *, to: Preprocessing, classes: Sequence[str] = (), test: float = 0.2
) -> dict[str, Table]:
  """Returns the splits of ROOT/SPLIT/CLASS/*.png, or those made of ROOT/CLASS/*.png.

  Args:
    root: holds the folders train, and maybe test and validation (or val), each with a folder a
      class; or the folders of the classes.
    seed: of the test split, where it has to be made.
    to: the run's preprocessing. Images are resized as they are read; where it has no channels (0)
      they become grey if all are, else RGB.
    classes: the folders to take, in this order; by default all, sorted.
    test: the part of each class that becomes the test split, where there is no folder of it.

  Raises: UserError for a folder that is missing, empty or at odds with that of train, for a file
    that is no image, and for images of different sizes that `to` does not bring to one.
  """
  if not isinstance(classes, list | tuple):
    raise UserError(f"data.arguments.classes must be a tuple of folder names, found {classes!r}")
  folders = _splits(root)
  names = tuple(map(str, classes)) or _names(folders["train"])
  if len(set(names)) < len(names):
    raise UserError(f"data.arguments.classes names a class twice: {', '.join(names)}")
  files = {split: _files(folder, names, bool(classes)) for split, folder in folders.items()}
  paths = [path for part in files.values() for of_class in part for path in of_class]
  index = np.arange(len(names), dtype=np.int32)
  labels = [np.repeat(index, [len(of_class) for of_class in part]) for part in files.values()]
  images = np.split(_read(paths, to), np.cumsum([len(label) for label in labels])[:-1])
  splits = {
    split: Table({"image": image, "label": label}, names)
    for split, image, label in zip(files, images, labels)
  }
  if "test" not in splits:
    splits["train"], splits["test"] = hold_out(splits["train"], test, seed)
  return splits


def _splits(root: str) -> dict[str, Path]:
  """Returns the folder of each split; that of train is the root where there are only classes."""
  if not root:
    raise UserError(
      "data.root is empty; expected a folder that holds train/CLASS/*.png and test/CLASS/*.png, "
      "or CLASS/*.png: --config.data.root=FOLDER"
    )
  folder = Path(root).expanduser()
  if not folder.is_dir():
    raise UserError(f"data.root {root} is no folder; expected one with a folder for each class")
  places = {split: folder / n for split, ns in SPLITS.items() for n in ns if (folder / n).is_dir()}
  if "test" in places and "train" not in places:
    raise UserError(f"data.root {root} has a folder test, but none named train")
  return places if "train" in places else {"train": folder}


def _names(folder: Path) -> tuple[str, ...]:
  names = tuple(path.name for path in _entries(folder) if path.is_dir())
  if not names:
    raise UserError(f"{folder} holds no folders; expected one for each class, with its images")
  return names


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


def _read(paths: list[Path], to: Preprocessing) -> np.ndarray:
  """Returns the images of these files as uint8 [N, H, W, C], resized."""
  crop = None  # the run's own is cut later; a square of the shorter side holds it, and stacks
  if isinstance(to.resize, int) and to.crop and max(to.crop) <= to.resize:
    crop = (to.resize, to.resize)
  grey, colour = (replace(to, crop=crop, channels=to.channels or c) for c in (1, 3))

  def some(paths: list[Path]) -> list[np.ndarray]:
    return [fit([image], grey if image.ndim == 2 else colour)[0] for image in map(read, paths)]

  parts = [paths[i : i + PART] for i in range(0, len(paths), PART)]
  with ThreadPoolExecutor(os.cpu_count()) as pool:
    images = list(chain.from_iterable(pool.map(some, parts)))
  for path, image in zip(paths, images):
    if image.shape[:2] != images[0].shape[:2]:
      first, other = ("x".join(map(str, i.shape[:2])) for i in (images[0], image))
      raise UserError(
        f"{paths[0]} has {first} pixels and {path} {other}; set data.resize to (height, width)"
      )
  channels = to.channels or max(image.shape[2] for image in images)
  return fit(images, Preprocessing(channels=channels))
