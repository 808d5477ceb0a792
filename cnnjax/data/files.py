"""Tables of image files; shapes are taken from the files' headers before any file is decoded."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from cnnjax.data.image import read, read_fit, shape_of
from cnnjax.data.stream import PART, Stream, by_threads, column
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown
from cnnjax.ops.preprocess import Preprocessing


def resize_only(to: Preprocessing) -> Preprocessing:
  """Returns the part of a run's preprocessing that sources apply: the resize; the crop comes later.

  A resize of the shorter side leaves images of different shapes, which form no array. Sources then
  also crop to a square of that side, which holds the final crop.
  """
  square = isinstance(to.resize, int) and to.crop and max(to.crop) <= to.resize
  return replace(to, crop=(to.resize, to.resize) if square else None)


@dataclass(frozen=True)
class Files:
  """Image files, read by their indices and brought to one shape: files([2, 0]) -> [2, H, W, C]."""

  paths: Sequence[str]
  to: Preprocessing
  shape: tuple[int, int, int]

  def __call__(self, places: np.ndarray) -> np.ndarray:
    return np.stack([self._one(self.paths[place]) for place in places.tolist()])

  def _one(self, path: str) -> np.ndarray:
    image = read_fit(path, self.to)
    if image.shape != self.shape:
      raise UserError(f"{path} makes an image of {image.shape}; its header said {self.shape}")
    return image


def tables(
  root: Path,
  paths: Mapping[str, Sequence[Path]],
  labels: Mapping[str, np.ndarray],
  classes: tuple[str, ...],
  to: Preprocessing,
  on_error: str,
  stream: str = "",
) -> dict[str, Table]:
  """Returns for each split a table with image uint8 [N, H, W, C], resized, and label or target.

  Args:
    root: the folder that every file must lie in, after links are followed.
    paths: of the image files, by split.
    labels: int32 [N], or numbers float32 [N, T], by split.
    classes: names of the classes, or of the numbers.
    to: the run's preprocessing; where its channels are 0, images are grey if all files are, else
      RGB.
    on_error: "raise", or "skip" to leave out files that cannot be read, and print their number on
      standard error; for that each file is read once more, at the start.
    stream: "" to read all images now, or "threads" or "processes" to read only the files' headers
      now, and the images as they are needed.

  Raises: UserError for a file outside the root, one that is no image, a class or split that
    loses every example to "skip", and images that have different sizes after preprocessing.
  """
  files, good = opened(root, list(chain.from_iterable(paths.values())), to, on_error)
  ends = np.cumsum([len(part) for part in paths.values()])[:-1]
  kept = dict(zip(paths, np.split(good, ends)))
  key = "label" if labels["train"].ndim == 1 else "target"
  for split, label in labels.items() if key == "label" else ():
    lost = set(label.tolist()) - set(label[kept[split]].tolist())
    if lost:
      raise UserError(f"no image of class {classes[min(lost)]} in the {split} split can be read")
  image, splits, start = column(files, len(files.paths), files.shape, stream), {}, 0
  for split, there in kept.items():
    end = start + int(there.sum())
    part = image.take(np.arange(start, end)) if stream else image[start:end]
    splits[split] = Table({"image": part, key: labels[split][there]}, classes)
    start = end
  return splits


def read_all(
  root: Path, paths: Sequence[Path], to: Preprocessing, on_error: str, stream: str = ""
) -> tuple[np.ndarray | Stream, np.ndarray, np.ndarray]:
  """Returns images uint8 [M, H, W, C], resized; the indices [M] of their paths; and their sizes.

  The sizes are (height, width) [M, 2] as read, before the resize. Arguments and errors are those of
  `tables`.
  """
  files, good = opened(root, paths, to, on_error)
  sizes = by_threads(lambda path: shape_of(path, Preprocessing())[:2], files.paths)
  image = column(files, len(files.paths), files.shape, stream)
  return image, good, np.asarray(sizes, np.int32).reshape(-1, 2)


def opened(
  root: Path, paths: Sequence[Path], to: Preprocessing, on_error: str
) -> tuple[Files, np.ndarray]:
  """Returns the files that can be read, and which of the N paths they are, [N].

  Arguments and errors are those of `tables`.
  """
  if on_error not in ("raise", "skip"):
    raise unknown("data.arguments.on_error", str(on_error), ("raise", "skip"))
  to = resize_only(to)
  found = _shapes(root.resolve(), list(paths), to, skip=on_error == "skip")
  good = np.asarray([not isinstance(shape, UserError) for shape in found], bool)
  if not good.all():
    _report([shape for shape in found if isinstance(shape, UserError)], len(found))
  every = [str(path) for path, g in zip(paths, good) if g]
  shape = common(every.__getitem__, [shape for shape, g in zip(found, good) if g])
  return Files(every, replace(to, channels=shape[2]), shape), good


def _shapes(
  root: Path, paths: list[Path], to: Preprocessing, skip: bool
) -> list[tuple[int, int, int] | UserError]:
  """Returns each file's shape (H, W, C) after preprocessing, or with `skip` its error."""

  def one(path: Path) -> tuple[int, int, int] | UserError:
    check_inside(root, path)
    try:
      if skip:  # the header does not show whether the rest of the file is damaged
        read(path)
      return shape_of(path, to)
    except UserError as error:
      if skip:
        return error
      raise

  parts = [paths[i : i + PART] for i in range(0, len(paths), PART)]
  return list(chain.from_iterable(by_threads(lambda part: [one(path) for path in part], parts)))


def check_inside(root: Path, path: Path) -> None:
  """Raises: UserError for a link out of a resolved root: a data set must not read other files."""
  real = Path(os.path.realpath(path))
  if not real.is_relative_to(root):
    raise UserError(f"{path} leads to {real}; expected a file inside {root}")


def common(
  name: Callable[[int], str], shapes: Sequence[tuple[int, int, int]]
) -> tuple[int, int, int]:
  """Returns the common shape of all images: RGB where at least one is.

  Raises: UserError with the name of an image of another size.
  """
  for place, shape in enumerate(shapes):
    if shape[:2] != shapes[0][:2]:
      first, other = ("x".join(map(str, s[:2])) for s in (shapes[0], shape))
      raise UserError(
        f"{name(0)} has {first} pixels and {name(place)} {other}; set data.resize to "
        "(height, width)"
      )
  return (*shapes[0][:2], max(shape[2] for shape in shapes))


def _report(errors: list[UserError], count: int) -> None:
  """Prints on standard error what was left out. Raises: UserError where all files were."""
  if len(errors) == count:
    raise UserError(f"none of the {count} images can be read; {errors[0]}")
  text = "\n".join([f"left out {len(errors)} of {count} images:", *map(str, errors)])
  print(text, file=sys.stderr, flush=True)
