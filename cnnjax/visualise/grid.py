"""Rows of images, each row with its name."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cnnjax.visualise.text import short


def grid(
  rows: dict[str, Sequence[np.ndarray]], titles: Sequence[str] = (), *, side: float = 1.3
) -> Figure:
  """Draws rows {name: uint8 images [H, W], [H, W, 1] or [H, W, 3]}, titles over the first.

  An image is `side` inches wide, and its row at most as high.
  """
  wide = max(1, *map(len, rows.values()))
  high = [min(1, max((a.shape[0] / a.shape[1] for a in row), default=1)) for row in rows.values()]
  figure = Figure(figsize=(side * wide + 1.2, side * sum(high) + 0.4), layout="constrained")
  places = figure.subplots(len(rows), wide, squeeze=False, height_ratios=high)
  for axes in places.flat:
    axes.set(xticks=[], yticks=[], frame_on=False)
  for line, (name, images) in zip(places, rows.items()):
    line[0].set_ylabel(_lines(name), rotation=0, ha="right", va="center", parse_math=False)
    for axes, image in zip(line, images):
      shown = np.squeeze(image, -1) if image.ndim == 3 and image.shape[-1] == 1 else image
      axes.imshow(shown, cmap="gray", vmin=0, vmax=255)
  for axes, title in zip(places[0], titles):
    axes.set_title(short(title, 24), fontsize=8, parse_math=False)
  return figure


def _lines(name: str) -> str:
  return "\n".join(map(short, name.splitlines()))
