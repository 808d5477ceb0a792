"""Series of volumes, such as functional MRI, with one folder for each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.data import scan
from cnnjax.data.below import files_below, is_litter, tell_unread
from cnnjax.data.faults import attempt, kept
from cnnjax.data.files import check_inside, names_below
from cnnjax.data.inputs.volume_series import as_series
from cnnjax.data.labels import listed
from cnnjax.data.layout import folder_of
from cnnjax.data.split import by_origin, find_splits, with_test
from cnnjax.data.stream import BY, Stream, by_threads
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say, unknown
from cnnjax.ops.volume_series import VolumeSeriesPreprocessing

LAYOUT = "train/CLASS/*.nii.gz and test/CLASS/*.nii.gz, or CLASS/*.nii.gz"


def load(
  root: str,
  seed: int,
  *,
  to: VolumeSeriesPreprocessing,
  classes: Sequence[str] = (),
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "threads",
) -> dict[str, Table]:
  """Returns the splits of ROOT/SPLIT/CLASS/*.nii.gz, or those made of ROOT/CLASS/*.nii.gz.

  A series is a NIfTI file of four dimensions, .nii or .nii.gz, in the folder of its class or in one
  below that. Only the files' headers are read at the start. Where series differ in length or size,
  and `data.length` or `data.crop` does not say what is kept, they are filled to the largest, which
  is told on standard error.

  Args:
    root: holds the folders train, and maybe test and validation, as `split.SPLITS` spells them,
      each with one folder for each class; or it holds the folders of the classes.
    seed: of the test split, where it has to be made.
    to: the run's preprocessing.
    classes: the folders to take, in this order; by default all, sorted.
    test: the part of each class that becomes the test split, where there is no folder of it.
    on_error: "raise", or "skip" to leave out, and count, the files that are no series, or damaged;
      for that each is read once, at the start.
    stream: "threads" or "processes" to read series batch by batch, "" to read all at the start.

  Raises: UserError for a folder that is missing or empty, for classes that differ from those of
    train, and for a file that is no series of volumes.
  """
  if stream not in BY:
    raise unknown("data.arguments.stream", str(stream), BY[1:])
  place, chosen = folder_of(root, LAYOUT), listed(classes)
  folders = {split: path for split, path in find_splits(place).items() if path.is_dir()}
  if folders and "train" not in folders:
    raise UserError(f"data.root {root} has a folder {next(iter(folders))}, but none named train")
  folders = folders or {"train": place}
  names = chosen or _names(folders["train"])
  found = [
    (split, label, path)
    for split, folder in folders.items()
    for label, of_class in enumerate(_files(folder, names, bool(chosen)))
    for path in of_class
  ]
  one = lambda row: attempt(partial(_shaped, place, row, on_error == "skip"), on_error)  # noqa: E731
  every = kept(by_threads(one, found), "series")
  _check_classes(names, every)
  tell_unread(place, [path for _, _, path in found])
  origin, label, paths, shapes = zip(*every)
  _tell_sizes(paths, np.asarray(shapes), to)
  row = (*np.max(shapes, 0).tolist(), 1)
  options = dict(ragged=True, dtype=np.dtype(np.float32))
  column = Stream(Files(paths), np.arange(len(paths)), row, stream, **options)
  columns = {"volume_series": column, "label": np.asarray(label, np.int32)}
  whole = Table(columns, names, names_below(place, paths))
  return with_test(by_origin(whole, np.asarray(origin), folders), test, seed)


@dataclass(frozen=True)
class Files:
  """Series of several shapes: files([2, 0]) -> a list of two, float32 [T, D, H, W, 1]."""

  paths: tuple[Path, ...]

  def __call__(self, places: np.ndarray) -> list[np.ndarray]:
    paths = [self.paths[n] for n in places.tolist()]
    return [as_series(np.asarray(scan.read(path, series=True)), str(path)) for path in paths]


def _shaped(root: Path, row: tuple, whole: bool) -> tuple:
  """Returns (split, label, path, shape [T, D, H, W]), from the header; with `whole`, read once."""
  check_inside(root.resolve(), row[-1])
  if whole:
    scan.read(row[-1], series=True)
  return *row, scan.head(row[-1], series=True)[0]


def _check_classes(names: tuple[str, ...], every: Sequence[tuple]) -> None:
  """Raises: UserError for a class that loses every example of a split to on_error "skip"."""
  for split in dict.fromkeys(row[0] for row in every):
    there = {row[1] for row in every if row[0] == split}
    if len(there) < len(names):
      lost = next(name for label, name in enumerate(names) if label not in there)
      raise UserError(f"no series of class {lost} in the {split} split can be read")


def _tell_sizes(paths: Sequence[Path], shapes: np.ndarray, to: VolumeSeriesPreprocessing) -> None:
  """Prints on standard error where series differ in what the config does not say."""
  for axes, key, given in ((shapes[:, :1], "length", to.length), (shapes[:, 1:], "crop", to.crop)):
    largest = axes.max(0)
    smaller = (axes < largest).any(1)
    if smaller.any() and not given:
      first, by = smaller.argmax(), "x".join
      say(
        f"{smaller.sum()} of {len(paths)} series have less than {by(map(str, largest))} "
        f"{'steps' if key == 'length' else 'voxels'}, such as {paths[first]} with "
        f"{by(map(str, axes[first]))}: they are filled; data.{key} says what is kept"
      )


def _names(folder: Path) -> tuple[str, ...]:
  entries = [p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."]
  names = tuple(sorted(p.name for p in entries if not is_litter(p.name)))
  if not names:
    raise UserError(f"{folder} holds no folders; expected one for each class, with its series")
  return names


def _files(folder: Path, names: tuple[str, ...], chosen: bool) -> list[list[Path]]:
  """Returns the series of each class in a split's folder."""
  there = _names(folder)
  odd = sorted({*names} - {*there} if chosen else {*names} ^ {*there})
  if odd and chosen:
    raise unknown(f"class of {folder}", odd[0], there)
  if odd:
    raise UserError(f"{folder} and that of train differ in the class folders {', '.join(odd)}")
  below = [[Path(entry.path) for entry in files_below(folder / n, follow=True)] for n in names]
  found = [sorted(path for path in paths if scan.is_scan(path)) for paths in below]
  for name, of_class in zip(names, found):
    if not of_class:
      raise UserError(f"{folder / name} holds no series; expected files {' '.join(scan.SUFFIXES)}")
  return found
