"""Slices of a volume as a folder of grey images, whose names end in their numbers."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from cnnjax.data import image, pixels
from cnnjax.data.scan import Place
from cnnjax.data.video import frames_of
from cnnjax.errors import UserError


def holds(folder: Path) -> bool:
  """Returns whether a folder holds images."""
  return bool(frames_of(folder))


def find(
  folder: Path, spacing: tuple[float, float, float] | None = None
) -> tuple[Place, Callable[[], np.ndarray]]:
  """Returns where the voxels of slices lie, and a function that reads them: [W, H, D].

  Images do not tell how the person lies. They are taken as they are: the first is depth 0, and a
  map of them, written as NIfTI, has their order.

  Args:
    folder: with an image for each slice.
    spacing: millimetres along (depth, height, width), 1 by default.

  Raises: UserError for names without a number at their end, slices that are missing, and a spacing
    that is none.
  """
  files = frames_of(folder)
  _check_numbers(folder, files)
  with image.open_image(files[0]) as first:
    height, width = pixels.size(first)
  spacing = tuple(map(float, spacing or (1, 1, 1)))
  if len(spacing) != 3 or not all(0 < step < np.inf for step in spacing):
    raise UserError(f"the spacing of slices must be three positive numbers; found {spacing}")
  place = Place(np.diag([*spacing[::-1], 1.0]), (width, height, len(files)))
  return place, partial(_voxels, files, (height, width))


def _check_numbers(folder: Path, files: tuple[Path, ...]) -> None:
  """Raises: UserError where the numbers of slices do not grow by equal steps."""
  numbers = []
  for file in files:
    end = re.search(r"\d+$", file.stem)
    if end is None:
      raise UserError(f"{file} has no number at the end of its name, as a slice of a volume needs")
    numbers.append(int(end[0]))
  steps = np.diff(numbers)
  uneven = np.flatnonzero((steps != steps.min()) | (steps <= 0)) if len(steps) else []
  if len(uneven):
    before, after = files[uneven[0]].name, files[uneven[0] + 1].name
    raise UserError(
      f"{folder} holds no whole volume: after {before} comes {after}, where numbers grow by "
      f"{max(1, steps.min())}"
    )


def _voxels(files: tuple[Path, ...], size: tuple[int, int]) -> np.ndarray:
  slices = []
  for file in files:
    with image.open_image(file) as opened:
      if getattr(opened, "n_frames", 1) > 1:
        raise UserError(f"{file} holds {opened.n_frames} images; expected one slice a file")
      slices.append(_grey(file, opened))
    if slices[-1].shape != size:
      have, want = ("x".join(map(str, sides)) for sides in (slices[-1].shape, size))
      raise UserError(f"{file} is {have} pixels, the first slice of its volume {want}")
    if slices[-1].dtype != slices[0].dtype:
      raise UserError(
        f"{file} holds {slices[-1].dtype}, the first slice of its volume {slices[0].dtype}"
      )
  return np.stack(slices).T


def _grey(path: Path, opened: Image.Image) -> np.ndarray:
  """Returns the levels of an image as they are in the file, uint8 or uint16 [H, W].

  Raises: UserError for colours; grey that is saved as red, green and blue is none.
  """
  white, mode = pixels.highest(opened), opened.mode
  turn = pixels.TURNS.get(pixels.orientation(opened))
  opened.load()
  if turn is not None and opened.format != "TIFF":  # Pillow's decoder of TIFF turns by itself
    opened = opened.transpose(turn)
  if white > 255 or mode in ("1", "L"):
    return np.asarray(opened).astype(np.uint16 if white > 255 else np.uint8)
  found = np.asarray(opened)
  if mode in ("LA", "RGBA") and (found[..., -1] == 255).all():
    found = found[..., :-1]
  if mode in ("LA", "RGB", "RGBA") and (found == found[..., :1]).all():
    return found[..., 0].copy()
  raise UserError(f"{path} holds colours or is transparent ({mode}); expected a grey slice")
