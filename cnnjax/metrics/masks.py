"""Masks that a network predicts for boxes, pasted into the image."""

import numpy as np

THRESHOLD = 0.5


def paste(masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Returns masks bool [K, H, W] at an image's (height, width).

  Args:
    masks: [K, s, s] from 0 to 1, each spanning its box.
    boxes: [K, 4] (x0, y0, x1, y1) in the image's pixels.
    size: of the image.

  As in Detectron and torchvision, masks are padded by one cell, boxes are rounded to whole pixels,
  and pixels above 1/2 after bilinear interpolation belong to the object.
  """
  found = np.zeros((len(masks), *size), bool)
  side = masks.shape[-1]
  padded = np.pad(masks, [(0, 0), (1, 1), (1, 1)])
  centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
  half = half * np.float32((side + 2) / side)
  whole = np.concatenate([centre - half, centre + half], 1).astype(int)  # rounds towards 0, too
  for n, (x0, y0, x1, y1) in enumerate(whole):
    width, height = max(x1 - x0 + 1, 1), max(y1 - y0 + 1, 1)
    top, left, bottom, right = (
      max(y0, 0),
      max(x0, 0),
      min(y0 + height, size[0]),
      min(x0 + width, size[1]),
    )
    if bottom > top and right > left:
      rows = _taps(side + 2, height, np.arange(top, bottom) - y0)
      columns = _taps(side + 2, width, np.arange(left, right) - x0)
      found[n, top:bottom, left:right] = rows @ padded[n] @ columns.T > THRESHOLD
  return found


def _taps(have: int, want: int, places: np.ndarray) -> np.ndarray:
  """Returns the weights [P, have] of linear interpolation from `have` to `want` pixels."""
  at = np.clip((places + 0.5) * have / want - 0.5, 0, have - 1)
  return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(have))).astype(np.float32)
