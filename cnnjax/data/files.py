"""Tables of image files; shapes are taken from the files' headers before any file is decoded."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from cnnjax.data.faults import attempt, kept
from cnnjax.data.image import has_frames, read, read_fit, shape_of
from cnnjax.data.names import plain
from cnnjax.data.stream import PART, Stream, by_threads, column
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say
from cnnjax.ops.preprocess import Preprocessing

FRAMES = (".gif", ".tif", ".tiff", ".webp", ".apng")  # suffixes of what may have several


def names_below(root: Path, paths: Sequence[str | Path]) -> np.ndarray:
  """Returns the names of files [N], which are their paths below a folder where they lie in it."""
  return np.asarray([os.path.relpath(path, root) for path in paths], object)


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
    image = attempt(partial(read_fit, path, self.to), "raise")
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
    on_error: "raise", or "skip" to leave out files that are missing or cannot be read, and the few
      that differ from most in size after preprocessing, and print their number on standard error;
      for that each file is read once more, at the start.
    stream: "" to read all images now, or "threads" or "processes" to read only the files' headers
      now, and the images as they are needed.

  Raises: UserError for a file outside the root, one that is no image, a class or split that
    loses every example to "skip", and images that have different sizes after preprocessing.
  """
  files, good = opened(root, list(chain.from_iterable(paths.values())), to, on_error)
  ends = np.cumsum([len(part) for part in paths.values()])[:-1]
  whole = dict(zip(paths, np.split(good, ends)))
  key = "label" if labels["train"].ndim == 1 else "target"
  for split, label in labels.items() if key == "label" else ():
    lost = set(label.tolist()) - set(label[whole[split]].tolist())
    if lost:
      raise UserError(f"no image of class {classes[min(lost)]} in the {split} split can be read")
  image, splits, start = column(files, len(files.paths), files.shape, stream), {}, 0
  names = names_below(root, files.paths)
  for split, there in whole.items():
    end = start + int(there.sum())
    part = image.take(np.arange(start, end)) if stream else image[start:end]
    columns = {"image": part, key: labels[split][there]}
    splits[split] = Table(columns, classes, names[start:end])
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
  to = resize_only(to)
  every = [located(path) for path in paths]
  found = _shapes(root.resolve(), every, to, on_error)
  if on_error == "skip":
    found = _of_most(every, found)
  good = np.asarray([not isinstance(shape, UserError) for shape in found], bool)
  shapes = kept(found, "images")
  every = [str(path) for path, g in zip(every, good) if g]
  _tell_frames(every)
  shape = common(every.__getitem__, shapes)
  return Files(every, replace(to, channels=shape[2]), shape), good


def located(path: Path) -> Path:
  """Returns the path, or the one there whose names differ only in the Unicode form of accents.

  macOS writes an accent as a character of its own (NFD), most other systems do not (NFC).
  """
  if str(path).isascii() or path == path.parent or os.path.lexists(path):
    return path
  folder, name = located(path.parent), plain(path.name)
  for entry in os.listdir(folder) if os.path.isdir(folder) else ():
    if plain(entry) == name:
      return folder / entry
  return path


def _shapes(
  root: Path, paths: list[Path], to: Preprocessing, on_error: str
) -> list[tuple[int, int, int] | UserError]:
  """Returns each file's shape (H, W, C) after preprocessing, or with "skip" its error."""

  def look(path: Path) -> tuple[int, int, int]:
    if "\0" in str(path):
      raise UserError(f"{str(path)!r} is no path of an image: it holds a NUL")
    if on_error == "skip":  # the header does not show whether the rest of the file is damaged
      read(path)
    return shape_of(path, to)

  def one(path: Path) -> tuple[int, int, int] | UserError:
    check_inside(root, path)
    return attempt(partial(look, path), on_error)

  parts = [paths[i : i + PART] for i in range(0, len(paths), PART)]
  return list(chain.from_iterable(by_threads(lambda part: [one(path) for path in part], parts)))


def check_inside(root: Path, path: Path) -> None:
  """Raises: UserError for a link out of a resolved root: a data set must not read other files."""
  real = Path(os.path.realpath(str(path).partition("\0")[0]))
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


def _of_most(
  paths: Sequence[Path], found: Sequence[tuple[int, int, int] | UserError]
) -> list[tuple[int, int, int] | UserError]:
  """Returns the shapes, with an error in place of a size that is not that of most images."""
  sizes = Counter(shape[:2] for shape in found if not isinstance(shape, UserError))
  (most, count), *others = sizes.most_common() or [((0, 0), 0)]
  if not others or 2 * count <= sizes.total():
    return list(found)
  return [
    UserError(f"{path} has {shape[0]}x{shape[1]} pixels; expected {most[0]}x{most[1]}, as most")
    if not isinstance(shape, UserError) and shape[:2] != most
    else shape
    for path, shape in zip(paths, found)
  ]


def _tell_frames(paths: Sequence[str]) -> None:
  """Prints how many files hold several frames or pages, of which the first is read."""
  maybe = [path for path in paths if path.lower().endswith(FRAMES)]
  several = [path for path, more in zip(maybe, by_threads(has_frames, maybe)) if more]
  if several:
    say(
      f"{len(several)} images hold several frames or pages, of which the first is read, such as "
      f"{several[0]}"
    )
