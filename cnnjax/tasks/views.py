"""Test-time augmentation: several views of an image, whose logits are averaged."""

from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.errors import UserError, unknown

Batch = dict[str, Any]
VIEWS = {  # rows (weight, whether mirrored, pixels by which the image moves down and right)
  "": ((1, False, 0),),
  "mirrored": ((1 / 2, False, 0), (1 / 2, True, 0)),
  "mirrored_moved": (  # arXiv:2404.00498
    *((1 / 4, False, 0), (1 / 4, True, 0)),
    *((1 / 8, False, 1), (1 / 8, True, 1), (1 / 8, False, -1), (1 / 8, True, -1)),
  ),
}


def views(batch: Batch, *, views: str = "") -> list[tuple[float, Batch]]:
  """Returns the views of a batch's images [B, ..., H, W, C], each with its weight.

  Raises: UserError for a name that is not in `VIEWS`.
  """
  if views not in VIEWS:
    raise unknown("task.views", str(views), VIEWS)
  if not views:
    return [(1, batch)]
  if "image" not in batch:
    raise UserError(f"task.views {views} are of images, but the batch holds {', '.join(batch)}")
  image = batch["image"]
  return [(weight, {**batch, "image": _view(image, *how)}) for weight, *how in VIEWS[views]]


def _view(image: jax.Array, mirrored: bool, pixels: int) -> jax.Array:
  if pixels:  # pixels from outside are the image, mirrored at its border
    most = abs(pixels)
    wide = jnp.pad(image, [(0, 0)] * (image.ndim - 3) + [(most, most)] * 2 + [(0, 0)], "reflect")
    height, width = image.shape[-3:-1]
    low = most - pixels
    image = wide[..., low : low + height, low : low + width, :]
  return jnp.flip(image, -2) if mirrored else image
