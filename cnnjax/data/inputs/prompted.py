"""Images with a box around one object as input: uint8 [H, W, C], and (x0, y0, x1, y1) in pixels.

The truth is `segments` uint8 [H, W], 1 at the object's pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data.inputs import image
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.prompted import PromptedPreprocessing, enclosing, moved

COLUMNS = ("image", "box")
SUFFIXES = image.SUFFIXES

complete, load, invert = image.complete, image.load, image.invert
check, augment, scale = image.check, image.augment, image.scale
picture, flat = image.picture, image.flat


def preprocessing(data: Any) -> PromptedPreprocessing:
  """Returns the preprocessing of a config's `data` section, which may not be complete yet.

  Raises: UserError for a resize that is no (height, width).
  """
  if not isinstance(data.resize, Sequence) or len(data.resize) == 1:
    raise UserError(
      f"data.resize must be (height, width) in pixels, or (); found {data.resize}: the length of "
      "one side leaves images of different sizes"
    )
  return PromptedPreprocessing(**vars(image.preprocessing(data)), jitter=data.jitter)


def prepare(table: Table, to: PromptedPreprocessing) -> Table:
  """Returns the table with images, maps and boxes brought to the network's size."""
  from cnnjax.data import image as images  # Pillow: not needed to build and train
  from cnnjax.data.masks import nearest

  ready = images.prepare(table, to)
  before, after = (one.columns["image"].shape[1:3] for one in (table, ready))
  if before == after:
    return ready
  changed = {"box": (table.columns["box"] * np.tile(np.divide(after, before)[::-1], 2))}
  changed["box"] = changed["box"].astype(np.float32)
  if "segments" in table.columns:
    each = [nearest(one, after) for one in table.columns["segments"]]
    changed["segments"] = np.stack(each) if each else np.zeros((0, *after), np.uint8)
  return ready.replace(**changed)


def empty(to: PromptedPreprocessing) -> dict[str, jax.Array]:
  """Returns a black image with a box that is the whole of it."""
  pixels = image.empty(to)
  return {"image": pixels, "boxes": jnp.array([[0, 0, *pixels.shape[2:0:-1]]], jnp.float32)}


def seen(key: jax.Array, batch: dict[str, Any], to: PromptedPreprocessing) -> dict[str, Any]:
  """Returns the batch with a new box around each object, as the augmentation left it."""
  boxes, size = enclosing(batch["segments"]), batch["segments"].shape[1:]
  moves = jax.random.uniform(key, boxes.shape, minval=-1)
  return {**batch, "box": moved(boxes, moves, to.jitter, size)}


def read(batch: dict[str, Any]) -> dict[str, jax.Array]:
  """Returns the images [B, H, W, C] and their boxes [B, 4]."""
  return {"image": batch["image"], "boxes": batch["box"]}


def fit(
  examples: np.ndarray | Sequence[np.ndarray | Mapping[str, Any]], to: PromptedPreprocessing
) -> dict[str, np.ndarray]:
  """Returns a user's images resized, each with the box that is the whole of it.

  `engine/prompted.py` asks about other boxes, and points.

  Raises: UserError for an array that is no image.
  """
  images = image.fit(examples, to)["image"]
  whole = np.float32([0, 0, *images.shape[2:0:-1]])
  return {"image": images, "box": np.tile(whole, (len(images), 1))}
