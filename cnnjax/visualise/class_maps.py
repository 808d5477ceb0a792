"""Class maps for people: as a palette's PNG, over their image, beside the truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image, ImageDraw, ImageFont

from cnnjax.ops.segmentation import VOID
from cnnjax.visualise.grid import grid
from cnnjax.visualise.text import font, legend, short

COVER = 0.45  # opacity of a class
GROUND = "background"  # the first class is not painted where it is called so
TITLES = ("image", "truth", "answer", "wrong")
WRONG = (255, 0, 80)


def palette() -> np.ndarray:
  """Returns the colours of 256 classes, uint8 [256, 3]: PASCAL VOC's, which most tools show.

  A channel's bits are, from the highest down, every third bit of the class's number.
  """
  number = np.arange(256)[:, None]
  found = np.zeros((256, 3), int)
  for bit in range(8):
    found |= (number >> (3 * bit + np.arange(3)) & 1) << (7 - bit)
  return found.astype(np.uint8)


def save(segments: np.ndarray, path: str | Path) -> None:
  """Writes a class map uint8 [H, W] as a PNG with a palette, completely or not at all.

  Its pixels, read back, are the classes.
  """
  image = Image.fromarray(segments).convert("L")
  image = Image.frombytes("P", image.size, image.tobytes())
  image.putpalette(palette().ravel().tolist())
  scratch = Path(path).with_name(Path(path).name + ".tmp")
  image.save(scratch, format="png")
  scratch.replace(path)


def overlay(image: np.ndarray, segments: np.ndarray, classes: Sequence[str] = ()) -> np.ndarray:
  """Returns an image with a class map on it, uint8 [H, W, 3]; borders of classes are opaque.

  Args:
    image: uint8 [H, W], [H, W, 1] or [H, W, 3].
    segments: the classes, uint8 [H, W].
    classes: their names.
  """
  drawn = np.array(np.broadcast_to(image.reshape(*image.shape[:2], -1), (*image.shape[:2], 3)))
  painted = np.ones(segments.shape, bool)
  if classes and classes[0] == GROUND:
    painted = segments != 0
  edge = np.zeros(segments.shape, bool)
  for axis in (0, 1):
    for step in (-1, 1):
      beside = np.roll(segments, step, axis)
      inner = np.moveaxis(beside != segments, axis, 0)
      inner[0 if step == 1 else -1] = False
      edge |= np.moveaxis(inner, 0, axis)
  cover = np.where(edge, 1.0, COVER)[..., None][painted]
  drawn[painted] = (1 - cover) * drawn[painted] + cover * palette()[segments[painted]]
  return drawn


def with_legend(image: np.ndarray, segments: np.ndarray, classes: Sequence[str]) -> np.ndarray:
  """Returns an image with the names of the classes that a map has below it, in their colours."""
  names = _present(segments, classes)
  high = max(14, round(image.shape[1] / 40))
  room, lines = image.shape[1], [[]]
  for name, colour in names.items():
    text = short(name, 24)
    letters = ImageFont.truetype(font(text), high - 4)
    wide = high + round(letters.getlength(text)) + 10
    if lines[-1] and sum(w for *_, w in lines[-1]) + wide > room:
      lines.append([])
    lines[-1].append((text, letters, colour, wide))
  below = Image.new("RGB", (room, (high + 4) * len(lines)), "white")
  pen = ImageDraw.Draw(below)
  for row, line in enumerate(lines):
    x, y = 2, row * (high + 4) + 2
    for text, letters, colour, wide in line:
      pen.rectangle((x, y, x + high - 4, y + high - 4), fill=colour, outline="black")
      pen.text((x + high, y - 2), text, font=letters, fill="black")
      x += wide
  return np.concatenate([image, np.asarray(below)])


def beside(
  rows: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], classes: Sequence[str]
) -> Figure:
  """Draws rows {name: (image, truth [H, W], answer [H, W])}: each of them, and what is wrong.

  Wrong pixels are red; those that are void in the truth are none.
  """
  drawn = {}
  for name, (image, truth, answer) in rows.items():
    whole = overlay(image, np.zeros_like(truth), (GROUND,))
    wrong = (whole * 0.5 + 64).astype(np.uint8)
    wrong[(truth != answer) & (truth != VOID)] = WRONG
    maps = (overlay(image, one, classes) for one in (truth, answer))
    drawn[name] = [whole, *maps, wrong]
  figure = grid(drawn, TITLES, side=2.2)
  every = np.concatenate([one.ravel() for _, *maps in rows.values() for one in maps])
  parts = {n: tuple(c / 255 for c in colour) for n, colour in _present(every, classes).items()}
  handles = [Patch(color=colour, label=legend(name)) for name, colour in parts.items()]
  figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), fontsize=8)
  return figure


def _present(segments: np.ndarray, classes: Sequence[str]) -> dict[str, tuple[int, int, int]]:
  """Returns the names of the classes that are painted of a map, and "void", with their colours."""
  there, colours = np.unique(segments).tolist(), palette().tolist()
  names = {k: "void" if k == VOID else classes[k] for k in there if k == VOID or k < len(classes)}
  if names.get(0) == GROUND:
    del names[0]
  return {name: tuple(colours[kind]) for kind, name in names.items()}
