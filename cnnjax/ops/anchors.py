"""The boxes that a detector starts from, at each cell of its maps: constants of an image's size."""

from collections.abc import Sequence

import numpy as np

Size = tuple[int, int]


def anchors(
  cells: Size, image: Size, sizes: Sequence[float], ratios: Sequence[float] = (0.5, 1.0, 2.0)
) -> np.ndarray:
  """Returns the anchors [rows * columns * ratios * sizes, 4] of one map, in pixels.

  Args:
    cells: (rows, columns) of the map.
    image: (height, width); the stride is the whole number of pixels a cell.
    sizes: sides of a square of the anchor's area.
    ratios: of height to width.

  As in Faster R-CNN (arXiv:1506.01497, section 3.1.1) and torchvision: their corners are whole
  pixels about the corner of their cell, and may lie outside the image.
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
    scales: side of a map's square as a part of the image's, one for each map and one beyond, whose
      geometric mean with the last gives its second square.
    ratios: of width to height, besides 1, for each map; each stands for its inverse too.
    steps: pixels a cell of each map; by default the image divided by the cells.

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
