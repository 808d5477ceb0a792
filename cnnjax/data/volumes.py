"""Folders of volumes beside folders of labels: the Medical Segmentation Decathlon's, and others."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnjax.data import mask_files, scan
from cnnjax.data.below import is_litter, tell_unread
from cnnjax.data.dataset_json import classes_of
from cnnjax.data.faults import attempt, kept
from cnnjax.data.files import check_inside, names_below
from cnnjax.data.layout import folder_of
from cnnjax.data.segments import numbered
from cnnjax.data.split import by_origin, find_splits, of_split, with_test
from cnnjax.data.stream import Stream, by_threads
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say
from cnnjax.ops.segmentation import VOID
from cnnjax.ops.volume import VolumePreprocessing

CHANNEL = re.compile(r"(.+)_(\d{4})")  # nnU-Net's name of a file that holds one channel

APART = 0.5  # voxels that labels may lie beside their volume: programs round affines


class Case(NamedTuple):
  """A volume: its files, one for each channel or one for all; its labels; what its header says.

  `codes` is how its voxels lie in the file, as "LPS".
  """

  files: tuple[Path, ...]
  labels: Path
  shape: tuple[int, ...] = ()
  spacing: tuple[float, ...] = ()
  codes: str = ""

  @property
  def channels(self) -> int:
    """The number of channels."""
    return self.shape[3] if len(self.shape) == 4 else len(self.files)


@dataclass(frozen=True, eq=False)
class Files:
  """Volumes that are read one by one: files([2]) -> [1, D, H, W, C].

  Attributes:
    cases: of which they are.
    seed: of a training's windows.
    cache: the folder for prepared volumes, "" for the memory.
  """

  cases: Sequence[Case]
  seed: int = 0
  cache: str = ""

  def __call__(self, rows: np.ndarray) -> np.ndarray:
    (row,) = rows.tolist()
    case = self.cases[row]
    each = [scan.read(path, channels=case.channels > 1) for path in case.files]
    each = [one if one.ndim == 4 else one[..., None] for one in each]
    for path, one in zip(case.files, each):
      if one.shape[:3] != case.shape[:3]:
        raise UserError(
          f"{path} has {_by(one.shape[:3])} voxels, but {case.files[0]}, another channel of the "
          f"same volume, has {_by(case.shape[:3])}"
        )
    return np.concatenate(each, -1)[None]

  def key(self, row: int) -> str:
    """Returns what names a volume and its labels, and changes when one of their files does."""
    paths = [*self.cases[row].files, self.cases[row].labels]
    return str([(str(p.resolve()), p.stat().st_mtime_ns, p.stat().st_size) for p in paths])


@dataclass(frozen=True, eq=False)
class Labels:
  """Class maps of volumes, read one by one: labels([2]) -> uint8 [1, D, H, W]."""

  cases: Sequence[Case]
  by: mask_files.Code

  def __call__(self, rows: np.ndarray) -> np.ndarray:
    (row,) = rows.tolist()
    return self.of(self.cases[row])[None]

  def of(self, case: Case) -> np.ndarray:
    """Returns a volume's classes [D, H, W].

    Raises: UserError for numbers that are not whole, or no classes.
    """
    found = scan.read(case.labels)
    whole = np.rint(found).astype(np.int64)
    if (whole != found).any():
      value = np.asarray(found)[whole != found][0]
      raise UserError(f"{case.labels} has the value {value:g}; expected whole numbers, the classes")
    return mask_files.coded(case.labels, np.asarray(whole), self.by)


def load(
  root: str,
  seed: int,
  *,
  to: VolumePreprocessing,
  images: str = "imagesTr",
  segments: str = "labelsTr",
  classes: Sequence[str] | str = (),
  values: Sequence[int] = (),
  void: Sequence[int | str] = (VOID, "void"),
  test: float = 0.2,
  on_error: str = "raise",
  cache: str = "",
) -> dict[str, Table]:
  """Returns volume, segments, spacing and size of each split; the classes are those of voxels.

  A volume is a NIfTI file, or a folder with a DICOM series or with slices; or several files
  CASE_0000, CASE_0001, one for each channel, as nnU-Net names them. All are brought to one
  orientation. `volume` is [D, H, W, C] of each one's own size, `segments` uint8 [D, H, W],
  `spacing` [N, 3] in millimetres and `size` [N, 3] in voxels.

  Args:
    root: the folder that holds `images` and `segments`, and maybe dataset.json, which names the
      classes.
    seed: of the test split, where there is none, and of a training's windows.
    to: the run's preprocessing; where its channels are more than 1, a file may hold them.
    images: the folder of a split's volumes, in which `{split}` stands for any spelling of a split.
      Without `{split}` all belong to train.
    segments: the folder of their labels, for each volume a NIfTI file of the same name.
    classes: names in order, or the name of a file in `root` with one a line; by default those of
      dataset.json, or the numbers from 0 to the largest in the labels.
    values: the number that stands for each class; by default 0, 1, 2 and so on.
    void: numbers that are no class, where `values` or `classes` do not make them one; and the names
      of classes that are none.
    test: the part that becomes the test split, where there is none.
    on_error: "raise", or "skip" to leave out, and count, volumes with any fault in them or in their
      labels, which are then all read at the start.
    cache: a folder in which prepared volumes are kept and mapped, where they are larger than the
      memory.

  Raises: UserError for a folder, a volume or labels that are missing or wrong, labels of another
    size or place than their volume, and a number that is no class, with its first voxel.
  """
  folder = folder_of(root, f"{images} and {segments}")
  places = find_splits(folder, images)
  if "train" not in places:
    there = ", ".join(sorted(p.name for p in folder.iterdir() if p.is_dir())) or "none"
    raise UserError(
      f"{folder} has no folder {images.replace('{split}', 'train')}; found the folders {there}: "
      "name those of volumes and labels by 'images' and 'segments' in data.arguments"
    )
  found = {s: cases_of(p, of_split(folder, segments, s)) for s, p in places.items()}
  one = lambda pair: attempt(partial(_headed, folder, to.channels, *pair), on_error)  # noqa: E731
  pairs = [(split, case) for split, part in found.items() for case in part]
  told = [path for _, case in pairs if isinstance(case, Case) for path in _files(case)]
  every = kept(by_threads(one, pairs), "volumes")
  if not classes and not values:
    classes, values = classes_of(folder)
  by, names = mask_files.code(folder, classes, values, (), void)
  if not names or on_error == "skip":
    every, names = _counted(every, Files([case for _, case in every]), by, names, on_error)
  tell_unread(folder, told, (".nii", ".gz"))
  channels = sorted({case.channels for _, case in every})
  if len(channels) > 1:
    raise UserError(f"volumes in {folder} have {channels[0]} and {channels[-1]} channels")
  cases = [case for _, case in every]
  _tell_codes(folder, cases)
  whole = table(folder, cases, Files(cases, seed, cache), Labels(cases, by), names)
  return with_test(by_origin(whole, np.asarray([s for s, _ in every]), places), test, seed)


def table(
  folder: Path, cases: Sequence[Case], files: Files, labels: Labels, names: tuple[str, ...]
) -> Table:
  """Returns the table of all cases, whose volumes and labels are read when they are needed."""
  size, places = np.asarray([case.shape[:3] for case in cases]), np.arange(len(cases))
  row = tuple(size.max(0).tolist())
  values = Stream(files, places, (*row, cases[0].channels), ragged=True, dtype=np.dtype("f4"))
  columns = {
    "volume": values,
    "segments": Stream(labels, places, row, ragged=True),
    "spacing": np.asarray([case.spacing for case in cases], np.float32),
    "size": size,
  }
  called = names_below(folder, [case.files[0] for case in cases]).astype(object)
  return Table(columns, names, called)


def cases_of(images: Path, labels: Path) -> list[Case | UserError]:
  """Returns the volumes in a folder with the labels of each in another, or that there are none.

  Raises: UserError where there is no volume.
  """
  known = {scan.stem_of(path): path for path in scans_in(labels)}
  groups: dict[str, list[Path]] = {}
  for path in scans_in(images):
    stem = scan.stem_of(path)
    channel = CHANNEL.fullmatch(stem)
    groups.setdefault(channel[1] if channel and stem not in known else stem, []).append(path)
  if not groups:
    raise UserError(f"{images} holds no volume; expected {', '.join(scan.SUFFIXES)}, or folders")
  found = []
  for stem, files in sorted(groups.items()):
    if stem not in known:
      have = f"{len(known)} files, such as {known[min(known)].name}" if known else "none"
      fault = f"{files[0]} has no labels: {labels} holds {have}, and none named {stem}"
      found.append(UserError(fault))
    else:
      found.append(Case(tuple(sorted(files)), known[stem]))
  return found


def scans_in(folder: Path) -> list[Path]:
  """Returns the volumes in a folder, sorted. Raises: UserError where it is none."""
  if not folder.is_dir():
    raise UserError(f"{folder} is no folder; expected one with volumes")
  entries = sorted(p for p in folder.iterdir() if not is_litter(p.name) and p.name[0] != ".")
  return [path for path in entries if scan.is_scan(path)]


def _headed(folder: Path, channels: int, split: str, case: Case | UserError) -> tuple[str, Case]:
  """Returns (split, case), with what the header says. Raises: UserError for labels that differ."""
  if isinstance(case, UserError):
    raise case
  for path in _files(case):
    check_inside(folder.resolve(), path)
  image, labels = (scan.place_of(path) for path in (case.files[0], case.labels))
  shape = scan.shape_of(case.files[0], image, channels=channels > 1)
  scan.shape_of(case.labels, labels)  # raises for what is no single volume
  if labels.size != image.size:
    raise UserError(
      f"{case.labels} has {_by(labels.size)} voxels (depth x height x width), but {case.files[0]} "
      f"has {_by(image.size)}"
    )
  apart = scan.apart(image, labels)
  if apart > APART:
    raise UserError(
      f"{case.labels} does not lie where {case.files[0]} does: by their affines a voxel is up to "
      f"{apart:.3g} voxels away; expected at most {APART}"
    )
  return split, case._replace(shape=shape, spacing=image.spacing, codes=image.codes)


def _tell_codes(folder: Path, cases: Sequence[Case]) -> None:
  """Prints on standard error that volumes lie otherwise in their files than others do."""
  count = Counter(case.codes for case in cases)
  if len(count) > 1:
    told = ", ".join(f"{n} {codes}" for codes, n in count.most_common())
    say(f"volumes in {folder} are of several orientations ({told}): all are brought to one")


def _counted(
  every: list[tuple[str, Case]],
  files: Files,
  by: mask_files.Code,
  names: tuple[str, ...],
  on_error: str,
) -> tuple[list[tuple[str, Case]], tuple[str, ...]]:
  """Returns the cases that can be read, and names of the classes, from the numbers in the labels.

  Volumes are read only where faults are left out.
  """
  labels = Labels(files.cases, by)

  def one(row: int) -> np.ndarray:
    if on_error == "skip":
      files(np.asarray([row]))
    return np.bincount(labels.of(files.cases[row]).ravel(), minlength=VOID + 1)

  count = by_threads(lambda row: attempt(partial(one, row), on_error), range(len(every)))
  good = [pair for pair, n in zip(every, count) if not isinstance(n, UserError)]
  count = kept(count, "volumes")
  return good, names or numbered(sum(count), good[0][1].labels)


def _files(case: Case) -> list[Path]:
  return [*case.files, case.labels]


def _by(sides: Sequence[float]) -> str:
  return "x".join(f"{side:g}" for side in sides)
