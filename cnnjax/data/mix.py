"""Augmentation by blackening a part of each image, or mixing it with another of its batch."""

from typing import Any

import jax
import jax.numpy as jnp

Batch = dict[str, Any]


def cut_out(key: jax.Array, images: jax.Array, side: int) -> jax.Array:
  """Makes a square with sides of so many pixels black, at a random position in each [B, H, W, C].

  Its centre may be any pixel, so that part of it may lie outside the image (DeVries, Taylor,
  arXiv:1708.04552).
  """
  size = jnp.asarray(images.shape[1:3])
  centre = jax.random.randint(key, (len(images), 2), 0, size)
  low = centre - side // 2
  inside = _inside(images, low, low + side)
  return jnp.where(inside, jnp.zeros((), images.dtype), images)


def mixup(key: jax.Array, batch: Batch, alpha: float, classes: int) -> Batch:
  """Returns images and targets, each as share * its own + (1 - share) * its neighbour's.

  For each image a share is drawn from Beta(alpha, alpha) (Zhang et al., arXiv:1710.09412). The
  neighbour is the image before it in the batch, whose order is random.
  """
  image, target = batch["image"], _target(batch, classes)
  share = jax.random.beta(key, alpha, alpha, (len(image),))
  return {
    **batch,
    "image": _mixed(image.astype(jnp.float32), share),
    "target": _mixed(target, share),
  }


def cutmix(key: jax.Array, batch: Batch, alpha: float, classes: int) -> Batch:
  """Replaces a rectangle in each image [B, H, W, C] by its neighbour's; mixes targets by area.

  The image's share of the area is drawn from Beta(alpha, alpha), the rectangle's position is
  uniform (Yun et al., arXiv:1905.04899).
  """
  image, target = batch["image"], _target(batch, classes)
  share_key, place_key = jax.random.split(key)
  size = jnp.asarray(image.shape[1:3])
  part = jnp.sqrt(1 - jax.random.beta(share_key, alpha, alpha, (len(image), 1)))
  half = part * size / 2
  centre = jax.random.uniform(place_key, (len(image), 2)) * size
  low = jnp.clip(jnp.round(centre - half), 0, size).astype(int)
  high = jnp.clip(jnp.round(centre + half), 0, size).astype(int)
  inside = _inside(image, low, high)
  share = 1 - jnp.prod(high - low, -1) / jnp.prod(size)
  mixed = jnp.where(inside, jnp.roll(image, 1, 0), image)
  return {**batch, "image": mixed, "target": _mixed(target, share)}


def _inside(images: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
  """Returns for each pixel [B, H, W, 1] whether low <= (row, column) < high."""
  rows, columns = jnp.arange(images.shape[1]), jnp.arange(images.shape[2])
  down = (rows >= low[:, :1]) & (rows < high[:, :1])
  across = (columns >= low[:, 1:]) & (columns < high[:, 1:])
  return (down[:, :, None] & across[:, None, :])[..., None]


def _mixed(values: jax.Array, share: jax.Array) -> jax.Array:
  share = share.reshape(-1, *(1,) * (values.ndim - 1))
  return share * values + (1 - share) * jnp.roll(values, 1, 0)


def _target(batch: Batch, classes: int) -> jax.Array:
  target = batch.get("target")
  return jax.nn.one_hot(batch["label"], classes) if target is None else target
