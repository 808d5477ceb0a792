"""Boxes and masks drawn on their image, with names and scores."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image, ImageDraw, ImageFont

from cnnjax.visualise.text import LONGEST, font, short

COVER = 0.45  # opacity of a mask


def draw(
  image: np.ndarray,
  boxes: np.ndarray,
  colours: Sequence[str],
  texts: Sequence[str] = (),
  masks: Sequence[np.ndarray] = (),
  *,
  side: int = 640,
) -> np.ndarray:
  """Returns an image with boxes and masks on it, uint8 [z H, z W, 3].

  Args:
    image: uint8 [H, W], [H, W, 1] or [H, W, 3].
    boxes: [K, 4] as (x0, y0, x1, y1) in pixels of the image, the best first.
    colours: of each box, by matplotlib's names.
    texts: one for each box, "" for no text; or ().
    masks: [H, W] of each box; or ().
    side: least length in pixels of the result's longer side. A smaller image is enlarged by the
      whole number z, so that lines and letters have room.
  """
  drawn = np.array(np.broadcast_to(image.reshape(*image.shape[:2], -1), (*image.shape[:2], 3)))
  inks = [tuple(int(255 * part) for part in to_rgb(colour)) for colour in colours]
  for mask, ink in reversed(list(zip(masks, inks))):  # draws the best one last, on top
    inside = np.asarray(mask) > 0.5
    drawn[inside] = (1 - COVER) * drawn[inside] + COVER * np.asarray(ink)
  longest = max(drawn.shape[:2])
  zoom = -(-side // longest)
  large = Image.fromarray(drawn.repeat(zoom, 0).repeat(zoom, 1))
  width, high = max(1, zoom * longest // 240), max(11, zoom * longest // 60)
  pen = ImageDraw.Draw(large, "RGBA")
  places = np.round(zoom * np.asarray(boxes, float).reshape(-1, 4)).astype(int)
  for (x0, y0, x1, y1), ink in reversed(list(zip(places.tolist(), inks))):
    pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=ink, width=width)
  for (x0, y0, *_), ink, text in reversed(list(zip(places.tolist(), inks, texts))):
    if text:
      text = short(text, 2 * LONGEST)
      _write(pen, text, (x0, y0), _font(font(text), high), ink)
  return np.asarray(large)


def colour(label: int) -> str:
  """Returns a class's colour."""
  return f"C{label % 10}"


def _write(pen, text, corner, font, ink):
  """Writes above a box's upper left corner, or inside the box where there is no room."""
  _, top, right, bottom = pen.textbbox((0, 0), text, font=font)
  wide, high = right + 2, bottom - top + 4
  x = max(0, min(corner[0], pen.im.size[0] - wide))
  y = corner[1] - high if corner[1] >= high else max(0, corner[1])
  pen.rectangle((x, y, x + wide, y + high), fill=(*ink, 190))
  pen.text((x + 1, y + 2 - top), text, font=font, fill="white")


@lru_cache(maxsize=8)
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
  return ImageFont.truetype(file, size)
