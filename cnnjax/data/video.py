"""Videos on the host: files that PyAV decodes, animated GIFs, and folders of frames.

PyAV is the extra `video`. It tells what is wrong with a file; OpenCV's reader, which decodes the
same formats, only ends, and takes the number of frames from the length and the rate.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageSequence

from cnnjax.data import image
from cnnjax.data.frame import linear
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing

DECODED = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv")
SUFFIXES = (*DECODED, ".gif")  # of files


def count(path: Path) -> int:
  """Returns the number of frames that a video has by its header, or of its packets without one.

  Raises: UserError for what is no video, or has no frame.
  """
  if path.is_dir():
    number = len(frames_of(path))
  elif path.suffix.lower() == ".gif":
    with image.open_image(path) as file:
      number = getattr(file, "n_frames", 1)
  else:
    with _opened(path) as file:
      number = file.streams.video[0].frames or sum(1 for p in file.demux(video=0) if p.size)
  if not number:
    raise UserError(f"{path} is a video without a frame")
  return number


def read(path: Path, places: np.ndarray, to: Preprocessing) -> np.ndarray:
  """Returns the frames at some places of a video, resized and cropped: uint8 [*places, H, W, C].

  Files are decoded from their beginning to the last of the places: only then is the number of a
  frame certain.

  Raises: UserError where the video ends before, or cannot be decoded.
  """
  wanted, found = set(places.ravel().tolist()), {}
  for number, frame in enumerate(_frames(path, wanted)):
    if number in wanted:
      found[number] = fit(frame[None], to)[0]
    if len(found) == len(wanted):
      break
  else:
    raise UserError(
      f"{path} ends early: it has {number + 1} frames that can be decoded, and {count(path)} by "
      f"its header; frame {max(wanted) + 1} is needed"
    )
  return np.stack([found[n] for n in places.ravel().tolist()]).reshape(
    *places.shape, *found[min(wanted)].shape
  )


def size_of(path: Path, to: Preprocessing) -> tuple[int, int, int]:
  """Returns the shape (H, W, C) of a video's frames as `read` gives them."""
  return read(path, np.zeros(1, int), to).shape[1:]


def fit(frames: np.ndarray, to: Preprocessing) -> np.ndarray:
  """Returns frames [T, H, W] or [T, H, W, C] resized and cropped, uint8 [T, H', W', C']."""
  if to.interpolation != "linear" or not to.resize:
    return image.fit(frames, Preprocessing(to.resize, to.crop, channels=to.channels))
  frames = image.fit(frames, Preprocessing(channels=to.channels))
  size = image._target(frames.shape[1:3], to.resize)
  if size != frames.shape[1:3]:
    frames = np.stack([np.round(linear(frame, size)).astype(np.uint8) for frame in frames])
  return image.fit(frames, Preprocessing(crop=to.crop, channels=to.channels))


def is_video(path: Path) -> bool:
  """Returns whether a path is a video file, or a folder that holds images and no folders."""
  if path.is_dir():
    return bool(frames_of(path)) and not any(p.is_dir() for p in path.iterdir())
  return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


@cache
def frames_of(folder: Path) -> tuple[Path, ...]:
  """Returns the images in a folder by the numbers in their names: frame2.png before frame10.png."""
  from cnnjax.data.inputs.image import SUFFIXES as IMAGES

  def key(path: Path) -> list[tuple[int, Any]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(p)) if p.isdigit() else (1, p) for p in parts]

  found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.name[0] != "."]
  return tuple(sorted(found, key=key))


def _frames(path: Path, wanted: set[int]) -> Iterator[np.ndarray | None]:
  """Yields each frame of a video, uint8 [H, W] or [H, W, 3]; None for some that are not wanted."""
  if path.is_dir():
    for number, file in enumerate(frames_of(path)):
      yield image.read(file) if number in wanted else None
  elif path.suffix.lower() == ".gif":
    with image.open_image(path) as file:
      for number, frame in enumerate(ImageSequence.Iterator(file)):
        yield np.asarray(frame.convert("RGB")) if number in wanted else None
  else:
    with _opened(path) as file:
      for number, frame in enumerate(file.decode(video=0)):
        yield _upright(frame) if number in wanted else None


def _upright(frame: Any) -> np.ndarray:
  """Returns a frame of PyAV's as telephones mean it: turned by the angle that it tells."""
  return np.rot90(frame.to_ndarray(format="rgb24"), getattr(frame, "rotation", 0) // 90)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
  """Yields PyAV's container of a file. Raises: UserError for any error in it."""
  try:
    import av
  except ModuleNotFoundError:
    raise UserError(f"{path} needs PyAV to be read: pip install 'cnnjax[video]'") from None
  try:
    with av.open(str(path)) as file:
      if not file.streams.video:
        raise UserError(f"{path} holds no video")
      file.streams.video[0].thread_type = "AUTO"
      yield file
  except av.error.FileNotFoundError:
    raise UserError(f"no video at {path}") from None
  except av.error.FFmpegError as error:
    raise UserError(f"{path} cannot be decoded: {error.strerror}") from error
