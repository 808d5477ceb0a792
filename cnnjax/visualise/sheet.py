"""Pictures side by side, each with a caption."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cnnjax.visualise.text import short


def contact_sheet(images: Sequence[np.ndarray], captions: Sequence[str]) -> Figure:
  """Draws uint8 images [H, W] or [H, W, C] in a grid, their captions above."""
  rows = max(1, round(math.sqrt(len(images) / 1.5)))
  columns = math.ceil(len(images) / rows)
  figure = Figure(figsize=(1.7 * columns, 2.0 * rows), layout="constrained")
  grid = figure.subplots(rows, columns, squeeze=False).ravel()
  for axes in grid:
    axes.axis("off")
  for axes, image, caption in zip(grid, images, captions):
    shown = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255)
    lines = [short(line, 28) for line in caption.splitlines()]  # as many letters as it is wide
    axes.set_title("\n".join(lines), fontsize=8, parse_math=False)
  return figure
