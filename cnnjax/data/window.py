"""Random windows of images, with their class maps."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

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
