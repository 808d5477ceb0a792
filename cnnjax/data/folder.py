"""Image folders with one folder for each class."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from cnnjax.data import imagenet
from cnnjax.data.below import files_below, is_litter, tell_unread
from cnnjax.data.files import tables
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.labels import listed
from cnnjax.data.names import plain
from cnnjax.data.split import find_splits, split_of, with_test
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say, unknown
from cnnjax.ops.preprocess import Preprocessing

NO_CLASSES = (
  "images",
  "image",
  "imgs",
  "img",
  "masks",
  "mask",
  "labels",
  "annotations",
  "instances",
)


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

  A class has the images in all subfolders of its folder too. Files below the root that are not read
  are counted on standard error; hidden folders, and what systems leave behind, are passed over.

  Where the root has ImageNet's lists, they give the names of the classes, and the class of each
  file in a folder val without class folders.

  Args:
    root: holds the folders train, and maybe test and validation, as `split.SPLITS` spells them,
      each with one folder for each class; or it holds the folders of the classes.
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
  chosen, place = listed(classes), Path(root).expanduser()
  folders = {split: (folder, _classes(folder)) for split, folder in _splits(root, test).items()}
  there = tuple(folders["train"][1])
  names, files = chosen or there, {}
  for split, (folder, of_class) in folders.items():
    loose = split != "train" and (not of_class or {*of_class} == {"images"} != {*there})
    flat = _images(folder, below=True) if loose else []  # ImageNet's val, and Tiny ImageNet's
    if flat:
      listing = imagenet.by_class(place, folder, flat, there)
      files[split] = [listing[name] for name in names]
    else:
      files[split] = _files(folder, of_class, names, bool(chosen))
  _check_depth(folders["train"][0], dict(zip(names, files["train"])))
  index = np.arange(len(names), dtype=np.int32)
  labels = {s: np.repeat(index, [len(of_class) for of_class in p]) for s, p in files.items()}
  paths = {split: list(chain.from_iterable(part)) for split, part in files.items()}
  splits = tables(place, paths, labels, imagenet.names(place, names), to, on_error, stream)
  lists = imagenet.lists([place, *(folder for folder, _ in folders.values())])
  unread = tell_unread(place, [*chain.from_iterable(paths.values()), *lists])
  splits = {split: replace(table, unread=unread) for split, table in splits.items()}
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
  places = {split: _inner(p, split) for split, p in find_splits(folder).items() if p.is_dir()}
  if isinstance(test, str):
    if split_of(test) == "train" or not test or not (folder / test).is_dir():
      raise UserError(
        "data.arguments.test must be the part to hold out, or the name of a folder beside train; "
        f"found {test!r}"
      )
    places = {s: p for s, p in places.items() if p.name != test} | {"test": folder / test}
  called = next((p for p in places.values() if not _folders(p)), None)
  if called and len(places) == 1 and len(_folders(folder)) > 2:
    told = f"{called} holds no folders: it is read as a class, beside the others in {folder}"
    say(told)  # CIFAR-100 has a class train
    return {"train": folder}
  if places and "train" not in places:
    raise UserError(
      f"data.root {root} has a folder {next(iter(places.values())).name}, but none named train"
    )
  return places or {"train": folder}


def _inner(folder: Path, split: str) -> Path:
  """Returns a split's folder, or the one of its name in it, as unpacking leaves it: train/train."""
  inside = _folders(folder)
  twice = len(inside) == 1 and split_of(inside[0].name) == split and not _images(folder)
  return inside[0] if twice else folder


def _folders(folder: Path) -> list[Path]:
  try:
    entries = sorted(folder.iterdir())
  except OSError as error:
    raise UserError(f"{folder} cannot be read: {error.strerror}") from error
  return [p for p in entries if p.is_dir() and not p.name.startswith(".") and not is_litter(p.name)]


def _classes(folder: Path) -> dict[str, list[Path]]:
  """Returns the folders of each class, several where their names differ in Unicode's form alone."""
  found: dict[str, list[Path]] = {}
  for path in _folders(folder):
    try:
      path.name.encode()
    except UnicodeEncodeError:
      raise UserError(f"{folder} holds a folder whose name is no UTF-8: {path.name!r}") from None
    found.setdefault(plain(path.name), []).append(path)
  return dict(sorted(found.items()))


def _images(folder: Path, below: bool = False) -> list[Path]:
  """Returns the image files in a folder, and with `below` in its subfolders, in order."""
  found = [
    Path(entry.path)
    for entry in files_below(folder, follow=True)
    if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".")
    if entry.is_file() or entry.is_symlink()
  ]
  return sorted(path for path in found if below or path.parent == folder)


def _files(
  folder: Path, there: Mapping[str, list[Path]], names: tuple[str, ...], chosen: bool
) -> list[list[Path]]:
  """Returns the image files of each class in a split's folder."""
  if not there:
    raise UserError(f"{folder} holds no folders; expected one for each class, with its images")
  odd = sorted(set(names) - set(there) if chosen else set(names) ^ set(there))
  if odd and chosen:
    raise unknown(f"class of {folder}", odd[0], there)
  if odd:
    raise UserError(f"{folder} and that of train differ in the class folders {', '.join(odd)}")
  files = [list(chain.from_iterable(_images(p, below=True) for p in there[n])) for n in names]
  for name, of_class in zip(names, files):
    if not of_class:
      raise UserError(f"{folder / name} holds no image; expected files {' '.join(SUFFIXES)}")
  return files


def _check_depth(folder: Path, files: Mapping[str, Sequence[Path]]) -> None:
  """Looks whether the folders that are read as classes hold other things, or the classes.

  Raises: UserError for images/ beside masks/, and where the root lies one folder deeper.
  """
  if all(name.casefold() in NO_CLASSES for name in files):
    raise UserError(
      f"{folder} holds the folders {', '.join(files)}, which are no classes; expected a folder for "
      "each class"
    )
  parts = {name: [os.path.relpath(p, folder).split(os.sep) for p in f] for name, f in files.items()}
  inside = {name: {part[1] for part in of if len(part) > 2} for name, of in parts.items()}
  direct = any(len(part) == 2 for of_class in parts.values() for part in of_class)
  shared = sorted(set.intersection(*inside.values()))
  for name, below in inside.items():
    if "train" in map(split_of, below) or (len(files) == 1 and len(below) > 1 and not direct):
      raise UserError(
        f"{folder / name} is no class: it holds the folders {', '.join(sorted(below))}; is it the "
        f"root? --config.data.root={folder / name}"
      )
  if len(shared) > 1 and not direct:
    say(
      f"each class of {folder} has the same subfolders {', '.join(shared)}, all of which are read; "
      f"if they are the classes, give --config.data.root={folder / next(iter(files))}"
    )
