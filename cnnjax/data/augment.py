"""Changes at random, on the device, inside the step, on whole batches of uint8 images."""

from typing import Any

import jax
import jax.numpy as jnp


def augment(
  key: jax.Array, batch: dict[str, Any], *, shift: int = 0, flip: bool = False
) -> dict[str, Any]:
  """Returns the batch with each image moved by up to `shift` pixels, and half of them mirrored."""
  if flip:
    flip_key = jax.random.fold_in(key, 2)  # 0 and 1 are the halves into which the shift splits it
    batch = {**batch, "image": random_flip(flip_key, batch["image"])}
  if shift:
    batch = {**batch, "image": random_shift(key, batch["image"], shift)}
  return batch


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
  """Mirrors each image [B, H, W, C] left to right with probability 1/2."""
  mirrored = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1, 1))
  return jnp.where(mirrored, images[:, :, ::-1], images)


def random_shift(key: jax.Array, images: jax.Array, pixels: int) -> jax.Array:
  """Moves each image [B, H, W, C] by up to so many pixels up, down, left, right; zeros come in."""
  padded = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
  offsets = jax.random.randint(key, (images.shape[0], 2), 0, 2 * pixels + 1)

  def cut(image, offset):
    return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), images.shape[1:])

  return jax.vmap(cut)(padded, offsets)
