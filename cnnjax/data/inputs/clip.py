"""Clips of videos as input: uint8 [T, H, W, C], from video files and folders of frames.

Where several clips of a video are scored together, an example is uint8 [K, T, H, W, C].
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data import augment as of_images
from cnnjax.data.inputs import image
from cnnjax.data.stream import Stream, by_threads
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.clip import ClipPreprocessing, spread
from cnnjax.ops.preprocess import normalize

COLUMNS = ("clip",)
SUFFIXES = (  # as in data/video.py, which needs Pillow
  *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv"),
  ".gif",
)
GAP, GREY = 2, 128  # pixels between frames of a picture, and their level


def preprocessing(data: Any) -> ClipPreprocessing:
  """Returns the preprocessing of a config's `data` section, which may not be complete yet.

  Raises: UserError as that of images does.
  """
  return ClipPreprocessing(
    **vars(image.preprocessing(data)),
    frames=data.frames or None,
    stride=data.frame_stride,
    clips=data.clips,
  )


def complete(data: Any, table: Table) -> dict[str, Any]:
  """Returns frames, size, channels, mean and deviation: those in `data`, else the training clips'.

  Videos are measured by the clips of them that are scored.
  """
  column = table.columns["clip"]
  frames, height, width, channels = column.shape[-4:]
  found = {"channels": data.channels or channels, "frames": data.frames or frames}
  if not data.resize and not data.crop:
    found["resize"] = (height, width)
  if not data.mean and not data.std:
    if found["channels"] != channels:
      column = prepare(table, ClipPreprocessing(channels=found["channels"])).columns["clip"]
    parts = by_threads(lambda n: image.counts(n, column[n : n + 1]), range(len(column)))
    found["mean"], found["std"] = image.of_counts(sum(parts))
  return found


def prepare(table: Table, to: ClipPreprocessing) -> Table:
  """Returns the table with its clips resized and cropped: uint8 [N, T, H, W, C].

  Clips in memory that have more frames are cut to their middle; those of a stream have theirs.
  """
  column, change = table.columns["clip"], partial(_fitted, to=to)
  if isinstance(column, Stream):
    space = to.shape[1:] if to.shape else (*column.row[-3:-1], to.channels)
    return table.replace(clip=column.map(change, (*column.row[:-3], *space)))
  middle = spread(column.shape[1], replace(to, clips=1))[0]
  column = column if len(middle) == column.shape[1] else column[:, middle]
  return table.replace(clip=change(column))


def _fitted(clips: np.ndarray, to: ClipPreprocessing) -> np.ndarray:
  """Returns clips [..., H, W, C] with their frames resized and cropped."""
  from cnnjax.data import video  # Pillow: not needed to build and train

  frames = video.fit(clips.reshape(-1, *clips.shape[-3:]), to)
  return frames.reshape(*clips.shape[:-3], *frames.shape[1:])


def empty(to: ClipPreprocessing) -> jax.Array:
  """Returns a black clip, [1, T, H, W, C]."""
  return jnp.zeros((1, *to.shape), jnp.float32)


def check(options: Mapping[str, Any]) -> None:
  """Raises: UserError for an operation that clips do not have, or a wrong strength."""
  of_images.check(options)


def augment(key: jax.Array, batch: dict[str, Any], **options: Any) -> dict[str, Any]:
  """Returns the batch changed as `data.augment` changes images, all frames of a clip alike."""
  others = {name: column for name, column in batch.items() if name != "clip"}
  changed = of_images.augment(key, {**others, "image": batch["clip"]}, **options)
  return {"clip": changed.pop("image"), **changed}


def scale(batch: dict[str, Any], to: ClipPreprocessing) -> dict[str, Any]:
  """Returns the batch with its bytes as float32, (pixel / 255 - mean) / std."""
  return {**batch, "clip": normalize(batch["clip"], to)}


def read(batch: dict[str, Any]) -> jax.Array:
  """Returns the clips [B, T, H, W, C]."""
  return batch["clip"]


def parts(batch: dict[str, Any]) -> dict[str, jax.Array] | None:
  """Returns the clips [K, B, T, H, W, C] of videos [B, K, T, H, W, C]; None where there is one."""
  clip = batch["clip"]
  return {"clip": jnp.moveaxis(clip, 1, 0)} if clip.ndim == 6 else None


def load(path: Path, to: ClipPreprocessing) -> dict[str, np.ndarray]:
  """Returns {path: clip} of a video file or a folder of frames, resized; or its several clips.

  Raises: UserError for a file that is no video, or ends early.
  """
  from cnnjax.data import video
  from cnnjax.data.files import resize_only

  if not video.is_video(path):
    raise UserError(f"{path} is no video; expected {', '.join(SUFFIXES)}, or a folder of frames")
  places = spread(video.count(path), to)
  return {str(path): video.read(path, places if to.clips > 1 else places[0], resize_only(to))}


def fit(
  examples: np.ndarray | Sequence[np.ndarray], to: ClipPreprocessing
) -> dict[str, np.ndarray]:
  """Returns clips of the network's frames and size, [N, T, H, W, C], or [N, K, T, H, W, C].

  An example is a video uint8 or float from 0 to 1, [T, H, W] or [T, H, W, C], of which clips are
  taken; or clips [K, T, H, W, C], as `load` returns them.

  Raises: UserError for an array that is no video.
  """
  fitted = []
  for index, example in enumerate(examples):
    clips = np.asarray(example)
    if clips.ndim not in (3, 4, 5) or 0 in clips.shape:
      raise UserError(f"clip {index} has shape {clips.shape}; expected [T, H, W] or [T, H, W, C]")
    if clips.ndim < 5:
      clips = clips[..., None] if clips.ndim == 3 else clips
      clips = clips[spread(len(clips), to)]
    fitted.append(_fitted(clips, to) if to.clips > 1 else _fitted(clips[0], to))
  shapes = {clips.shape for clips in fitted}
  if len(shapes) > 1:
    raise UserError(f"clips of different shapes {sorted(shapes)} need frames and a resize")
  return {"clip": np.stack(fitted) if fitted else np.zeros((0, *(to.shape or (0,) * 4)), np.uint8)}


def invert(example: np.ndarray) -> np.ndarray:
  """Returns a clip with light and dark exchanged."""
  return 255 - example


def picture(example: np.ndarray, side: int) -> np.ndarray:
  """Returns up to nine frames of a clip side by side, in rows of three."""
  frames = _pictures(example)
  few = np.linspace(0, len(frames) - 1, min(len(frames), 9)).round().astype(int)
  columns = min(len(few), 3)
  small = _small(frames[few], max(side // columns - GAP, 1))
  small += [np.zeros_like(small[0])] * (-len(small) % columns)
  around = [(0, GAP), (0, GAP)] + [(0, 0)] * (small[0].ndim - 2)
  small = [np.pad(frame, around, constant_values=GREY) for frame in small]
  rows = [np.concatenate(small[n : n + columns], 1) for n in range(0, len(small), columns)]
  return np.concatenate(rows)[:-GAP, :-GAP]


def film(example: np.ndarray, side: int) -> np.ndarray:
  """Returns the frames of a clip, or of all clips, with no side longer than `side`."""
  return np.stack(_small(_pictures(example), side))


def whole(path: Path) -> bool:
  """Returns whether a folder is one video: it holds images, and no folder."""
  from cnnjax.data import video

  return path.is_dir() and video.is_video(path)


def _pictures(example: np.ndarray) -> np.ndarray:
  """Returns all frames of clips [..., T, H, W, C], [N, H, W] or [N, H, W, 3]."""
  frames = example.reshape(-1, *example.shape[-3:])
  return frames[..., 0] if frames.shape[-1] == 1 else frames


def _small(frames: np.ndarray, side: int) -> list[np.ndarray]:
  from cnnjax.data.image import thumbnail

  return [thumbnail(frame, side) for frame in frames]
