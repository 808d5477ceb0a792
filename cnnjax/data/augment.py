"""Changes at random, on the device, inside the step, on whole batches of uint8 images."""

from typing import Any

import jax
import jax.numpy as jnp


def augment(key: jax.Array, batch: dict[str, Any], *, shift: int = 0) -> dict[str, Any]:
  """Returns the batch with each image moved by up to `shift` pixels in each direction."""
  if shift:
    batch = {**batch, "image": random_shift(key, batch["image"], shift)}
  return batch


def random_shift(key: jax.Array, images: jax.Array, pixels: int) -> jax.Array:
  """Moves each image [B, H, W, C] by up to so many pixels up, down, left, right; zeros come in."""
  padded = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
  offsets = jax.random.randint(key, (images.shape[0], 2), 0, 2 * pixels + 1)

  def cut(image, offset):
    return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), images.shape[1:])

  return jax.vmap(cut)(padded, offsets)
