"""Masks of the objects that boxes and points show in a user's images, at the size that these have.

An image is encoded once; each prompt is then decoded at little cost:

  embedding = embed(run.model, run.variables, image)
  found = masks(run.model, run.variables, embedding, prompts(embedding.size, points=[(40, 25)]))
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from cnnjax.data import inputs
from cnnjax.engine.compiler import jit
from cnnjax.errors import UserError
from cnnjax.models.segmentation.sam import at_image

Prompts = dict[str, np.ndarray]
SCALED = ("boxes", "points")  # prompts that are places
FORMS = {"box": "(x0, y0, x1, y1)", "point": "(x, y) or (x, y, label)"}


class Embedding(NamedTuple):
  """An image as the network has encoded it.

  Attributes:
    values: [1, h, w, C].
    side: (height, width) of the image that was encoded.
    extent: (height, width) of the part of it that is no padding.
    size: (height, width) of the user's image.
  """

  values: jax.Array
  side: tuple[int, int]
  extent: tuple[int, int]
  size: tuple[int, int]


def embed(model: Any, variables: dict[str, Any], image: np.ndarray) -> Embedding:
  """Returns the embedding of an image, which is prepared as `model.preprocessing` says.

  Args:
    model: of the task promptable.
    variables: of the model.
    image: uint8, or float from 0 to 1, [H, W], [H, W, 1] or [H, W, 3].

  Raises: UserError for an array that is no image.
  """
  from cnnjax.data.frame import frames  # Pillow: not needed to build and train

  (frame,) = frames([np.asarray(image)], model.preprocessing, 1)
  extent = tuple(int(side) for side in frame.extent[0])
  encode, _ = _halves(model)
  values = encode(variables, frame.image)
  return Embedding(values, frame.image.shape[1:3], extent, np.shape(image)[:2])


def masks(
  model: Any, variables: dict[str, Any], embedding: Embedding, prompts: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Returns `masks` bool [P, H, W] at the size of the user's image, and the `iou` [P] to expect.

  Of several masks for a prompt it is the one of which the network expects most.

  Args:
    model: of the task promptable.
    variables: of the model.
    embedding: of `embed`.
    prompts: of `prompts`, or as `SAM.decode` takes them, in pixels of the user's image.
  """
  scale = np.divide(embedding.extent, embedding.size)[::-1].astype(np.float32)
  moved = {k: np.asarray(v) for k, v in prompts.items()}
  moved |= {k: moved[k] * np.tile(scale, moved[k].shape[-1] // 2) for k in moved if k in SCALED}
  count = len(next(iter(moved.values())))
  more = (1 << (count - 1).bit_length()) - count  # so that few numbers are compiled for
  padded = {k: np.concatenate([v, np.repeat(v[-1:], more, 0)]) for k, v in moved.items()}
  _, decode = _halves(model)
  outputs = jax.device_get(decode(variables, embedding.values, padded))
  best = outputs["iou"].argmax(-1)
  found = [
    np.asarray(_enlarged(outputs["logits"][n : n + 1, ..., best[n], None], *embedding[1:]) > 0)
    for n in range(count)
  ]
  return {
    "masks": np.concatenate(found)[..., 0],
    "iou": outputs["iou"][np.arange(count), best[:count]],
  }


def prompts(
  size: tuple[int, int], boxes: Any = None, points: Any = None, image: str = "the image"
) -> Prompts:
  """Returns prompts as `masks` takes them; without any, the whole image is the box.

  Each box asks for one mask. Points ask for one, together, and with the box where there is one.

  Args:
    size: (height, width) of the user's image.
    boxes: (x0, y0, x1, y1), or several, in pixels of it.
    points: (x, y), or several; (x, y, 0) is a point that is not of the object.
    image: its name, for messages.

  Raises: UserError for prompts of another form, outside of the image, and for several boxes with
    points.
  """
  boxes, points = _rows("box", boxes, (4,)), _rows("point", points, (2, 3))
  high, wide = size
  said = f"{image}, which has {wide}x{high} pixels (width x height)"
  for box in boxes:
    if not (0 <= box[0] and 0 <= box[1] and box[2] <= wide and box[3] <= high):
      raise UserError(f"box {_numbers(box)} does not lie within {said}")
    if not (box[0] < box[2] and box[1] < box[3]):
      raise UserError(
        f"box {_numbers(box)} has no area; expected (x0, y0, x1, y1) with x0 below x1 and y0 below "
        "y1"
      )
  for x, y, *label in points:
    if not (0 <= x < wide and 0 <= y < high):
      raise UserError(f"point {_numbers((x, y))} does not lie within {said}")
    if label and label[0] not in (0, 1):
      raise UserError(f"point {_numbers((x, y, *label))}: its label must be 1, of the object, or 0")
  if len(boxes) > 1 and len(points):
    raise UserError(
      f"{len(boxes)} boxes and {len(points)} points are prompts for {len(boxes)} objects and one; "
      "ask for them one after the other"
    )
  if not len(boxes) and not len(points):
    boxes = np.float32([[0, 0, wide, high]])
  found = {"boxes": boxes} if len(boxes) else {}
  if len(points):
    labels = points[:, 2] if points.shape[1] == 3 else np.ones(len(points))
    found |= {"points": points[None, :, :2], "point_labels": labels[None].astype(np.int32)}
  return found


def answers(
  model: Any,
  variables: dict[str, Any],
  images: Sequence[np.ndarray],
  boxes: Sequence[Any] | None,
  points: Sequence[Any] | None,
  first: int = 0,
) -> list[dict[str, Any]]:
  """Returns an answer of `masks` for each image, whose prompts are its entries of the two.

  `first` is the number of the first image, counted from 0.

  Raises: UserError where an image has no entry, and as `prompts` does.
  """
  found = []
  for n, image in enumerate(images, first):
    for what, some in (("boxes", boxes), ("points", points)):
      if some is not None and n >= len(some):
        raise UserError(f"{what} must have an entry for each image; found {len(some)} in all")
    given = (None if some is None else some[n] for some in (boxes, points))
    embedding = embed(model, variables, image)
    name = f"image {n}" if first or len(images) > 1 else "the image"
    asked = prompts(embedding.size, *given, image=name)
    answer = masks(model, variables, embedding, asked)
    found.append({**answer, "iou": answer["iou"].tolist()})
  return found


def _rows(what: str, given: Any, lengths: tuple[int, ...]) -> np.ndarray:
  """Returns rows of one of some lengths. Raises: UserError for anything else."""
  if given is None or (hasattr(given, "__len__") and len(given) == 0):
    return np.zeros((0, lengths[0]), np.float32)
  try:
    rows = [given] if np.ndim(given[0]) == 0 else given
    if what == "point":  # some may have a label, and some not
      rows = [[*row, 1] if len(row) == 2 else row for row in rows]
    found = np.asarray(rows, np.float32)
  except (TypeError, ValueError, IndexError, KeyError):
    found = np.zeros(0)
  if found.ndim != 2 or found.shape[1] not in lengths or not np.isfinite(found).all():
    shown = " ".join(repr(given).split())[:60]
    raise UserError(f"a {what} must be {FORMS[what]}, in pixels of the image; found {shown}")
  return found


def _numbers(values: Sequence[float]) -> str:
  return f"({', '.join(f'{value:g}' for value in values)})"


@lru_cache(maxsize=8)
def _halves(model: Any) -> tuple[Callable, Callable]:
  """Returns the two halves of a network, compiled: of an image, and of prompts."""
  kind = inputs.kind(model.preprocessing.input)

  def encode(variables, image):
    seen = kind.scale({"image": image}, model.preprocessing)["image"]
    return model.apply(variables, seen, train=False, method="encode")

  def decode(variables, embedding, prompts):
    return model.apply(variables, embedding, prompts, method="decode")

  return jit(encode), jit(decode)


_enlarged = jax.jit(at_image, static_argnums=(1, 2, 3))
