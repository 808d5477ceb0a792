"""PASCAL VOC folders, and ILSVRC's: an XML file for each image, and a list of names per split."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cnnjax.data.boxes import Example, tables
from cnnjax.data.faults import attempt
from cnnjax.data.layout import folder_of, near_lists, near_pair, part
from cnnjax.data.names import Listing, bare
from cnnjax.data.split import find_splits
from cnnjax.data.table import Table
from cnnjax.data.voc_xml import example
from cnnjax.errors import UserError, say
from cnnjax.ops.preprocess import Preprocessing


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  images: str = "JPEGImages",
  annotations: str = "Annotations",
  lists: str = "ImageSets/Main/{split}.txt",
  classes: Sequence[str] = (),
  places: int = 0,
  first: int = 1,
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "",
) -> dict[str, Table]:
  """Returns the splits of a VOC folder, as `boxes.tables` does, with the column `difficult`.

  Args:
    root: the folder that holds `images`, `annotations` and `lists`.
    seed: of the test split, where there is no list of it.
    to: the run's preprocessing.
    images: the folder of the images, in which `{split}` stands for any spelling of a split. It may
      be the same as that of the annotations, and "" is the root.
    annotations: the folder of the XML files, in which `{split}` stands for the same. Each has the
      name of its image, or says it in <filename>.
    lists: the files of train, val and test, in which each line is, or begins with, the name of an
      image, with or without its suffix. Where there is no such file, all annotations of a folder
      belong to the split that its name says, or to train.
    classes: names in order; by default those of train, sorted.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    first: number of the first pixel, which is subtracted from xmin and ymin. VOC counts from 1 and
      includes the last pixel, so that xmin 1 and xmax 500 span an image 500 pixels wide.
    test: the part that becomes the test split, where there is no list of it.
    on_error: "raise", or "skip" to leave out, and count, images with any fault in them or in
      their annotations.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.

  ILSVRC's detection set is read with images "Data/DET/{split}", annotations
  "Annotations/DET/{split}", lists "ImageSets/DET/{split}.txt" and first 0.

  Raises: UserError for a folder, file or element that is missing or wrong, and any error of
    `boxes.tables`.
  """
  folder, listing = folder_of(root, f"{annotations} and {images}"), Listing()
  near, splits = partial(near_pair, folder, "annotations", (".xml",)), {}
  for split, names in _names(folder, lists, annotations, listing, near).items():
    where, pictures = (part(folder, pattern, split, near) for pattern in (annotations, images))
    splits[split] = [
      attempt(partial(_example, where, pictures, name, first, listing), on_error) for name in names
    ]
  chosen = dict(classes=classes, places=places, test=test, on_error=on_error, stream=stream)
  return tables(folder, splits, seed, to=to, flag="difficult", **chosen)


def _example(where: Path, images: Path, name: str, first: int, listing: Listing) -> Example:
  return example(_xml(where, name, listing), images, name, first, listing)


def _xml(where: Path, name: str, listing: Listing) -> Path:
  """Returns the annotation of an image's name, which may have its suffix."""
  names = (n + suffix for n in (name, bare(name)) for suffix in (".xml", ".XML"))
  found = [listing.find(where, n) for n in names]
  return next((path for path in found if path.is_file()), found[0])


def _names(
  folder: Path, lists: str, annotations: str, listing: Listing, near: Callable[[], str]
) -> dict[str, list[str]]:
  """Returns the images of each list by split; without lists, those of the annotations there are."""
  files, both = find_splits(folder, lists), folder / lists.replace("{split}", "trainval")
  if "train" not in files and both.is_file():
    files = {"train": both, **{s: file for s, file in files.items() if s == "test"}}
  if files:
    if "train" not in files:
      raise UserError(f"{folder} has a list of {next(iter(files))}, but none of train")
    return {
      split: _lines(file, part(folder, annotations, split, near), listing)
      for split, file in files.items()
    }
  there = {s: where for s, where in find_splits(folder, annotations).items() if where.is_dir()}
  found = {
    split: [f.stem for f in sorted(where.glob("*.[xX][mM][lL]")) if not f.name.startswith(".")]
    for split, where in there.items()
  }
  if not found.get("train"):
    hint = near() or "; is it a VOC folder?"
    raise UserError(f"{folder} has neither {lists} nor {annotations}/*.xml{hint}")
  other = near_lists(folder)
  if other:
    say(f"{folder} has no {lists}{other}")
  return {split: names for split, names in found.items() if names}


def _lines(file: Path, where: Path, listing: Listing) -> list[str]:
  """Returns the name on each line: all of it, or what comes before a number or a blank.

  Lists of one class have -1, 0 or 1 behind each name; names may have blanks too.

  Raises: UserError for a list that is no text, names no image, or names one twice.
  """
  try:
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{file} cannot be read: {error}") from error
  if any("\0" in line for line in lines):
    raise UserError(f"{file} is no list of names: it holds a NUL")
  names: dict[str, None] = {}
  for line in filter(None, lines):
    ways = (line, re.sub(r"\s+[-+]?\d+$", "", line), line.split()[0])
    name = next((way for way in ways if _xml(where, way, listing).is_file()), ways[1])
    if name in names:
      raise UserError(f"{file} names {name} twice")
    names[name] = None
  if not names:
    raise UserError(f"{file} names no image")
  return list(names)
