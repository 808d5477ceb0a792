"""Animated GIFs of clips."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnnjax.visualise.figure import _scratch

LEAST = 192  # pixels of the picture's width: a caption needs some


def save_film(frames: np.ndarray, caption: str, path: str | Path, rate: float = 8.0) -> None:
  """Writes frames uint8 [T, H, W] or [T, H, W, 3] as a GIF that is repeated, with a caption below.

  Small frames are enlarged by a whole number. The file is written completely or not at all.

  Args:
    frames: one after the other.
    caption: lines of text.
    path: of the file.
    rate: frames a second.
  """
  times, lines = max(1, -(-LEAST // frames.shape[2])), caption.splitlines()
  height, width = times * frames.shape[1], times * frames.shape[2]
  font = ImageFont.load_default(12)
  strip = Image.new("RGB", (width, 4 + 15 * len(lines)), "white")
  pen = ImageDraw.Draw(strip)
  for n, line in enumerate(lines):
    pen.text((4, 2 + 15 * n), line, "black", font)
  pages = []
  for frame in frames:
    page = Image.new("RGB", (width, height + strip.height))
    page.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.NEAREST))
    page.paste(strip, (0, height))
    pages.append(page)
  scratch, pause = _scratch(path), round(1000 / rate)
  pages[0].save(
    scratch, format="gif", save_all=True, append_images=pages[1:], duration=pause, loop=0
  )
  scratch.replace(path)
