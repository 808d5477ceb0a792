"""Prompts and the masks that answer them, for people: on their image, beside the truth."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from cnnjax.visualise import boxes as of_boxes
from cnnjax.visualise.class_maps import GROUND, beside

ON, BESIDE = "lime", "red"  # points of the object, and others


def draw(
  image: np.ndarray,
  masks: Sequence[np.ndarray],
  boxes: Sequence[Sequence[float]] = (),
  points: Sequence[Sequence[float]] = (),
  labels: Sequence[int] = (),
  texts: Sequence[str] = (),
  *,
  side: int = 640,
) -> np.ndarray:
  """Returns an image with prompts and their masks on it, uint8 [z H, z W, 3].

  Args:
    image: uint8 [H, W], [H, W, 1] or [H, W, 3].
    masks: [H, W] of each prompt.
    boxes: (x0, y0, x1, y1) of each prompt, in pixels of the image; or ().
    points: (x, y).
    labels: of the points, 1 on the object, 0 beside it.
    texts: one for each box.
    side: least length in pixels of the result's longer side, as in `boxes.draw`.
  """
  colours = [of_boxes.colour(n) for n in range(len(masks))]
  drawn = of_boxes.draw(image, boxes, colours, texts, masks, side=side)
  if not len(points):
    return drawn
  zoom, large = drawn.shape[0] / image.shape[0], Image.fromarray(drawn)
  pen, radius = ImageDraw.Draw(large), max(2, max(drawn.shape) // 120)
  for (x, y), label in zip(points, labels):
    ink = tuple(int(255 * part) for part in to_rgb(ON if label else BESIDE))
    x, y = zoom * (x + 0.5), zoom * (y + 0.5)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink, outline="black")
  return np.asarray(large)


def worst(
  rows: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
) -> Figure:
  """Draws rows {name: (image, box [4], truth [H, W], answer [H, W])}, and what is wrong.

  The box is drawn on the images.
  """
  drawn = {}
  for name, (image, box, truth, answer) in rows.items():
    drawn[name] = of_boxes.draw(image, [box], ["C1"], side=1), truth, answer
  return beside(drawn, (GROUND, "object"))
