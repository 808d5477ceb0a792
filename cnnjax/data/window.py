"""Windows of images and volumes: where they lie, and what stands beyond the border."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.ops.resize import centre

Batch = dict[str, Any]


def cut(key: jax.Array, batch: Batch, size: Sequence[int]) -> Batch:
  """Returns the batch with a random window of each example, of the same size.

  Each position that lies in the image has the same probability.

  Args:
    key: of the random draws.
    batch: with `image` [B, *S, C] and `segments` [B, *S]; S has two dimensions or three.
    size: of the window, in no direction larger than the image.
  """
  image, size = batch["image"], tuple(size)
  room = jnp.asarray([have - want for have, want in zip(image.shape[1:-1], size)])
  corners = jax.random.randint(key, (len(image), len(size)), 0, room + 1)
  at = lambda one, corner: jax.lax.dynamic_slice(one, corner, size)  # noqa: E731
  each = jax.vmap(jax.vmap(at, (-1, None), -1))(image, corners)
  return {**batch, "image": each, "segments": jax.vmap(at)(batch["segments"], corners)}


def middle(batch: Batch, column: str, size: Sequence[int]) -> Batch:
  """Returns the batch with the middle of `column` [B, *S, C], and of its `segments` [B, *S]."""
  found = {**batch, column: centre(batch[column], size)}
  if "segments" in batch:
    found["segments"] = centre(batch["segments"][..., None], size)[..., 0]
  return found


def piece(
  array: np.ndarray, corner: Sequence[int], size: Sequence[int], outside: int | None = None
) -> np.ndarray:
  """Returns the part [*size, ...] of an array that begins at a corner, which may lie outside.

  What lies beyond the border is the array mirrored there, or the value `outside`.
  """
  inside, beside = [], []
  for start, wide, have in zip(corner, size, array.shape):
    inside.append(slice(max(0, start), min(start + wide, have)))
    beside.append((max(0, -start), max(0, start + wide - have)))
  found = array[tuple(inside)]
  if not any(map(any, beside)):
    return np.asarray(found)
  beside += [(0, 0)] * (array.ndim - len(beside))
  if outside is None:
    return np.pad(found, beside, "reflect")
  return np.pad(found, beside, constant_values=outside)
