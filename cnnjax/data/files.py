"""Image files read by several threads at once, and the tables made of them."""

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from cnnjax.data.image import fit, read
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown
from cnnjax.ops.preprocess import Preprocessing

PART = 64  # files that a thread reads at a time: a turn for each small one takes longer


def tables(
  root: Path,
  paths: Mapping[str, Sequence[Path]],
  labels: Mapping[str, np.ndarray],
  classes: tuple[str, ...],
  to: Preprocessing,
  on_error: str,
) -> dict[str, Table]:
  """Returns a table of image uint8 [N, H, W, C], resized, and label int32 [N] for each split.

  Args:
    root: the folder that every file lies in, once links are followed.
    paths: of the image files, by split.
    labels: int32 [N], by split.
    classes: what the labels count.
    to: the run's preprocessing; where it has no channels (0), grey if all are, else RGB.
    on_error: "raise", or "skip" to leave out, and count on standard error, what cannot be read.

  Raises: UserError for a file outside the root, one that is no image, a class or split that
    loses every example to "skip", and images of different sizes that `to` does not bring to one.
  """
  image, good, _ = read_all(root, list(chain.from_iterable(paths.values())), to, on_error)
  ends = np.cumsum([len(part) for part in paths.values()])[:-1]
  kept = dict(zip(paths, np.split(good, ends)))
  images = np.split(image, np.cumsum([k.sum() for k in kept.values()])[:-1])
  for split, label in labels.items():
    lost = set(label.tolist()) - set(label[kept[split]].tolist())
    if lost:
      raise UserError(f"no image of class {classes[min(lost)]} in the {split} split can be read")
  return {
    split: Table({"image": image, "label": labels[split][kept[split]]}, classes)
    for split, image in zip(paths, images)
  }


def read_all(
  root: Path, paths: Sequence[Path], to: Preprocessing, on_error: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns images uint8 [M, H, W, C], resized; which of the paths they are [N]; and their sizes.

  These are (height, width) [M, 2] as read, before the resize. Arguments and errors are those of
  `tables`.
  """
  if on_error not in ("raise", "skip"):
    raise unknown("data.arguments.on_error", str(on_error), ("raise", "skip"))
  found = _read(root.resolve(), list(paths), to, skip=on_error == "skip")
  good = np.asarray([not isinstance(one, UserError) for one in found], bool)
  if not good.all():
    _tell([one for one in found if isinstance(one, UserError)], len(found))
  there = [one for one in found if not isinstance(one, UserError)]
  image = _stack([p for p, g in zip(paths, good) if g], [one[0] for one in there], to)
  return image, good, np.asarray([one[1] for one in there], np.int32).reshape(-1, 2)


def _read(
  root: Path, paths: list[Path], to: Preprocessing, skip: bool
) -> list[tuple[np.ndarray, tuple[int, int]] | UserError]:
  """Returns each file's image [H, W, C] and size as read, or with `skip` the error that it met."""
  crop = None  # the run's own is cut later; a square of the shorter side holds it, and stacks
  if isinstance(to.resize, int) and to.crop and max(to.crop) <= to.resize:
    crop = (to.resize, to.resize)
  grey, colour = (replace(to, crop=crop, channels=to.channels or c) for c in (1, 3))

  def one(path: Path) -> tuple[np.ndarray, tuple[int, int]] | UserError:
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):  # a set from elsewhere must not read what else is here
      raise UserError(f"{path} leads to {real}; expected a file inside {root}")
    try:
      image = read(path)
    except UserError as error:
      if skip:
        return error
      raise
    return fit([image], grey if image.ndim == 2 else colour)[0], image.shape[:2]

  def some(paths: list[Path]) -> list[tuple[np.ndarray, tuple[int, int]] | UserError]:
    return [one(path) for path in paths]

  parts = [paths[i : i + PART] for i in range(0, len(paths), PART)]
  with ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(chain.from_iterable(pool.map(some, parts)))


def _stack(paths: list[Path], images: list[np.ndarray], to: Preprocessing) -> np.ndarray:
  for path, image in zip(paths, images):
    if image.shape[:2] != images[0].shape[:2]:
      first, other = ("x".join(map(str, i.shape[:2])) for i in (images[0], image))
      raise UserError(
        f"{paths[0]} has {first} pixels and {path} {other}; set data.resize to (height, width)"
      )
  channels = to.channels or max(image.shape[2] for image in images)
  return fit(images, Preprocessing(channels=channels))


def _tell(errors: list[UserError], count: int) -> None:
  """Says on standard error what was left out. Raises: UserError where that is everything."""
  if len(errors) == count:
    raise UserError(f"none of the {count} images can be read; {errors[0]}")
  text = "\n".join([f"left out {len(errors)} of {count} images:", *map(str, errors)])
  print(text, file=sys.stderr, flush=True)
