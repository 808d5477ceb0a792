"""How an image with a box around an object is prepared, and the boxes that prompt for objects."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from cnnjax.ops import boxes as of_boxes
from cnnjax.ops.preprocess import Preprocessing


@dataclass(frozen=True)
class PromptedPreprocessing(Preprocessing):
  """Prepare an image as `Preprocessing` does; boxes around objects are moved a little.

  Attributes:
    jitter: largest part of a box's sides by which each of its edges is moved, in training and in
      a table: a box that fits exactly gives much of the mask away.
    others: of the image, as in `Preprocessing`.
  """

  input = "prompted"

  jitter: float = 0.1


def enclosing(segments: jax.Array) -> jax.Array:
  """Returns the boxes [B, 4] (x0, y0, x1, y1) around the pixels of class 1 of maps [B, H, W].

  Where there are none, it is the whole image.
  """
  inside, (high, wide) = segments == 1, segments.shape[1:]
  edges = []
  for axis, length in ((1, wide), (2, high)):
    there = inside.any(axis)
    first = there.argmax(1)
    edges.append((first, jnp.where(there.any(1), length - there[:, ::-1].argmax(1), length)))
  (x0, x1), (y0, y1) = edges
  return jnp.stack([x0, y0, x1, y1], -1).astype(jnp.float32)


def moved(boxes: jax.Array, moves: jax.Array, part: float, size: tuple[int, int]) -> jax.Array:
  """Returns boxes [..., 4] whose edges are moved, within an image of (height, width) `size`.

  Args:
    boxes: as (x0, y0, x1, y1).
    moves: of each edge, from -1 to 1, [..., 4].
    part: of the box's side across an edge, by which a move of 1 moves it; below a half.
    size: of the image.
  """
  sides = boxes[..., 2:] - boxes[..., :2]
  return of_boxes.clip(boxes + part * moves * jnp.concatenate([sides, sides], -1), size)
