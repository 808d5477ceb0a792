"""Masks of objects, as one map of ids where they do not overlap; maps of classes."""

import numpy as np

from cnnjax.data.stream import Stream
from cnnjax.ops.segmentation import VOID


def nearest(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Returns a mask [H, W] resized to (height, width): a pixel takes the value at its centre."""
  rows, columns = (
    ((np.arange(t) + 0.5) * n / t).astype(int) for t, n in zip(size, mask.shape, strict=True)
  )
  return mask[rows][:, columns]


def number(ids: np.ndarray) -> np.ndarray:
  """Returns a map of ids as uint16 [H, W], renumbered 1 to K in their order; 0 is background."""
  there = np.flatnonzero(np.bincount(ids.ravel()))
  there = there[there > 0]
  new = np.zeros(1 + there.max(initial=0), np.uint16)
  new[there] = np.arange(1, len(there) + 1)
  return new[ids]


def bounds(ids: np.ndarray) -> np.ndarray:
  """Returns the bounding box of each of the ids 1 to K: (x0, y0, x1, y1) float32 [K, 4]."""
  from scipy.ndimage import find_objects

  found = [(x.start, y.start, x.stop, y.stop) for y, x in find_objects(ids)]
  return np.asarray(found, np.float32).reshape(-1, 4)


def pixels(segments: np.ndarray | Stream, classes: int) -> np.ndarray:
  """Returns the number of pixels of each class [C] in class maps [N, *S]; void ones are of none."""
  if isinstance(segments, Stream):
    return np.sum(segments.each(lambda start, rows: pixels(rows, classes)), 0)
  each = (np.bincount(one.ravel(), minlength=VOID + 1) for one in segments)
  return sum(each, np.zeros(VOID + 1, np.int64))[:classes]
