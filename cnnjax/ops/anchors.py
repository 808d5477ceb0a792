"""The boxes at each cell of a detector's maps that it predicts offsets from."""

from collections.abc import Sequence

import numpy as np

Size = tuple[int, int]


def anchors(
  cells: Size, image: Size, sizes: Sequence[float], ratios: Sequence[float] = (0.5, 1.0, 2.0)
) -> np.ndarray:
  """Returns the anchors [rows * columns * ratios * sizes, 4] of one map, in pixels.

  Args:
    cells: (rows, columns) of the map.
    image: (height, width) in pixels; the stride is the image divided by the cells, rounded down.
    sizes: sides, in pixels, of the squares whose areas the anchors have.
    ratios: of height to width.

  As in Faster R-CNN (arXiv:1506.01497, section 3.1.1) and torchvision: anchors are centred on the
  corner of their cell, have corners of whole pixels, and may reach out of the image.
  """
  root = np.sqrt(np.asarray(ratios, np.float32))[:, None]
  side = np.asarray(sizes, np.float32)
  wide, high = ((1 / root) * side).ravel(), (root * side).ravel()
  shapes = np.round(np.stack([-wide, -high, wide, high], -1) / 2)
  y, x = (np.arange(n, dtype=np.float32) * (length // n) for n, length in zip(cells, image))
  rows, columns = np.meshgrid(y, x, indexing="ij")
  corners = np.stack([columns, rows, columns, rows], -1).reshape(-1, 1, 4)
  return (corners + shapes).reshape(-1, 4)


def default_boxes(
  cells: Sequence[Size],
  image: Size,
  scales: Sequence[float],
  ratios: Sequence[Sequence[float]],
  steps: Sequence[int] | None = None,
) -> np.ndarray:
  """Returns SSD's default boxes [N, 4] of all maps, in pixels (arXiv:1512.02325, section 2.2).

  Args:
    cells: (rows, columns) of each map.
    image: (height, width).
    scales: side of each map's square, as a fraction of the image's side, and one more: a second
      square has the geometric mean of a map's scale and the next.
    ratios: of width to height, besides 1, for each map; the inverse of each is used too.
    steps: pixels of a cell of each map; by default the image divided by the cells.

  As in torchvision no side is longer than the image's; the boxes may reach out of it.
  """
  found, (height, width) = [], image
  for k, (rows, columns) in enumerate(cells):
    shapes = [(scales[k], scales[k]), (np.sqrt(scales[k] * scales[k + 1]),) * 2]
    for ratio in ratios[k]:
      wide, high = scales[k] * np.sqrt(ratio), scales[k] / np.sqrt(ratio)
      shapes += [(wide, high), (high, wide)]
    half = np.clip(np.asarray(shapes, np.float32), 0, 1) / 2
    down, right = (height / steps[k], width / steps[k]) if steps else (rows, columns)
    y, x = (np.arange(rows) + 0.5) / down, (np.arange(columns) + 0.5) / right
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 1, 2).astype(np.float32)
    found.append(np.concatenate([grid - half, grid + half], -1).reshape(-1, 4))
  return np.concatenate(found) * np.asarray([width, height] * 2, np.float32)
