"""The frames of a video in which something changes, as a sheet: a summary of it."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from cnnjax.data.image import thumbnail
from cnnjax.data.inputs.image import fit
from cnnjax.ops.preprocess import Preprocessing, normalize
from cnnjax.visualise.sheet import contact_sheet

SIDE = 256  # longest side of a picture on the sheet


def features(frames: np.ndarray, model: Any = None, variables: Any = None) -> np.ndarray:
  """Returns what each frame [T, H, W] or [T, H, W, C] shows, as numbers [T, D].

  With a classifier of images these are the means of its trunk's last map; without one the pixels of
  the frame at 16x16.
  """
  if model is None:
    small = fit(frames, Preprocessing(resize=(16, 16), channels=3))["image"]
    return small.reshape(len(small), -1) / 255
  trunk, parts = model.make_trunk(), {name: part["trunk"] for name, part in variables.items()}
  images = fit(frames, model.preprocessing)["image"]

  @jax.jit
  def means(image):
    maps = trunk.apply(parts, normalize(image[None], model.preprocessing), train=False)
    return list(maps.values())[-1].mean((0, 1, 2))

  return np.stack([means(image) for image in images])


def changes(features: np.ndarray) -> np.ndarray:
  """Returns how much each frame's features [T, D] differ from the last one's, [T]; 0 at first."""
  return np.linalg.norm(np.diff(features, axis=0, prepend=features[:1]), axis=1)


def key_frames(change: np.ndarray, count: int, apart: int = 1) -> np.ndarray:
  """Returns the places of up to `count` frames: the first, and those of the largest changes [T].

  They are at least `apart` frames from each other, and in the order of time.
  """
  chosen = [0]
  for place in np.argsort(-change, kind="stable").tolist():
    if len(chosen) == count or change[place] <= 0:
      break
    if min(abs(place - other) for other in chosen) >= apart:
      chosen.append(place)
  return np.sort(chosen)


def summary(
  frames: np.ndarray,
  change: Sequence[float],
  count: int = 12,
  apart: int = 1,
  rate: float = 0,
  numbers: Sequence[int] | None = None,
) -> Figure:
  """Draws the key frames of frames [T, H, W] or [T, H, W, C], with their places or seconds.

  Args:
    frames: of a video, uint8.
    change: of each frame, from `changes`.
    count: largest number of key frames.
    apart: least number of frames between two of them.
    rate: frames a second, for captions in seconds; 0 for none.
    numbers: of the frames in the video, where they are not all of it.
  """
  change, of = np.asarray(change), range(len(frames)) if numbers is None else numbers
  places = key_frames(change, count, apart).tolist()
  when = [f"{of[n] / rate:.1f} s" if rate else f"frame {of[n]}" for n in places]
  captions = [f"{text}\nchange {change[n]:.2f}" for text, n in zip(when, places)]
  pictures = [frames[n].squeeze(-1) if frames[n].shape[-1:] == (1,) else frames[n] for n in places]
  return contact_sheet([thumbnail(picture, SIDE) for picture in pictures], captions)
