"""A picture of the first layer's filters."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnjax.errors import UserError


def filters(kernel: Any) -> Figure:
  """Draws each filter of kernel [h, w, C, D], in colour where C is 3, else as the mean over C.

  Raises: UserError for a kernel of another rank.
  """
  kernel = np.asarray(kernel, np.float32)
  if kernel.ndim != 4:
    raise UserError(f"a kernel to draw is [h, w, C, D]; found shape {kernel.shape}")
  if kernel.shape[2] != 3:
    kernel = kernel.mean(2, keepdims=True)
  count = kernel.shape[-1]
  rows = max(1, round(math.sqrt(count / 2)))
  columns = math.ceil(count / rows)
  figure = Figure(figsize=(1.2 * columns, 1.3 * rows))
  grid = figure.subplots(rows, columns, squeeze=False).ravel()
  top = np.abs(kernel).max() or 1.0
  for place, axes in enumerate(grid):
    axes.axis("off")
    if place < count:
      one = kernel[..., place]
      if kernel.shape[2] == 3:
        axes.imshow(0.5 + one / (2 * top))
      else:
        axes.imshow(one, cmap="gray", vmin=-top, vmax=top)
      axes.set_title(str(place), fontsize=7, pad=2)
  return figure
