"""Saving of figures, which are made without pyplot, so that no display is needed."""

import re
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from matplotlib.text import Text
from PIL import Image

from cnnjax.errors import say
from cnnjax.visualise.text import fonts


def save(figure: Figure, path: str | Path) -> None:
  """Writes a figure as a PNG, completely or not at all.

  Letters that the usual font lacks are drawn in another one; those that no installed font has, and
  that become boxes, are told on standard error.
  """
  scratch = _scratch(path)
  lost = _draw(figure, scratch)
  if lost:
    files = fonts(lost)
    names = [get_font(file).family_name for file in files]
    for text in figure.findobj(Text) if files else ():
      text.set_fontfamily([*text.get_fontfamily(), *names])
    lost = _draw(figure, scratch) if files else lost
  scratch.replace(path)
  if lost:
    shown = " ".join(sorted(lost)[:10]) + (" ..." if len(lost) > 10 else "")
    say(f"{path} has boxes for letters of no installed font: {shown}")


def _draw(figure: Figure, path: Path) -> set[str]:
  """Writes a figure, and returns the letters for which it has no font."""
  with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    figure.savefig(path, format="png", dpi=120, bbox_inches="tight")
  found = [(one, re.match(r"Glyph (\d+) .*missing", str(one.message))) for one in told]
  for one, missing in found:
    if not missing:
      warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
  return {chr(int(missing[1])) for _, missing in found if missing}


def save_pixels(image: np.ndarray, path: str | Path) -> None:
  """Writes a uint8 image [H, W, 3] as a PNG of its size, completely or not at all."""
  scratch = _scratch(path)
  Image.fromarray(image).save(scratch, format="png", compress_level=1)  # level 6 takes far longer
  scratch.replace(path)


def _scratch(path: str | Path) -> Path:
  return Path(path).with_name(Path(path).name + ".tmp")
