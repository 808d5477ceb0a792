"""Pictures side by side, each with a caption."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure


def contact_sheet(images: Sequence[np.ndarray], captions: Sequence[str]) -> Figure:
  """Draws uint8 images [H, W] or [H, W, C] in a grid, their captions above."""
  rows = max(1, round(math.sqrt(len(images) / 1.5)))
  columns = math.ceil(len(images) / rows)
  figure = Figure(figsize=(1.7 * columns, 2.0 * rows), layout="constrained")
  grid = figure.subplots(rows, columns, squeeze=False).ravel()
  for axes in grid:
    axes.axis("off")
  for axes, image, caption in zip(grid, images, captions):
    grey = image.ndim == 2 or image.shape[-1] == 1
    axes.imshow(image.squeeze(), cmap="gray" if grey else None, vmin=0, vmax=255)
    axes.set_title(caption, fontsize=8, parse_math=False)
  return figure
