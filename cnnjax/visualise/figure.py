"""Saving of figures, which are made without pyplot, so that no display is needed."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image


def save(figure: Figure, path: str | Path) -> None:
  """Writes a figure as a PNG, completely or not at all."""
  scratch = _scratch(path)
  figure.savefig(scratch, format="png", dpi=120, bbox_inches="tight")
  scratch.replace(path)


def save_pixels(image: np.ndarray, path: str | Path) -> None:
  """Writes a uint8 image [H, W, 3] as a PNG of its size, completely or not at all."""
  scratch = _scratch(path)
  Image.fromarray(image).save(scratch, format="png", compress_level=1)  # level 6 takes far longer
  scratch.replace(path)


def _scratch(path: str | Path) -> Path:
  return Path(path).with_name(Path(path).name + ".tmp")
