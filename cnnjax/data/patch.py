"""SSD's augmentation: images on a larger canvas, and crops that overlap a box by a least IoU.

Liu et al., arXiv:1512.02325, sections 2.2 and 3.6; what they do not say is as in the authors'
program.
"""

import jax
import jax.numpy as jnp

from cnnjax.data.warp import Batch, compose, move_boxes
from cnnjax.ops.boxes import iou

OVERLAPS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.0)  # least IoU with one of the boxes; 0 for any patch
TRIES = 50  # patches to draw; where none overlaps enough, the image stays whole


def zoom_out(key: jax.Array, count: int, size: tuple[int, int], most: float) -> jax.Array:
  """Returns maps [count, 2, 3] that lay half of the images on a canvas, at a random position.

  The canvas is from 1 to `most` times as high and as wide as the images, whose (height, width) is
  `size`.
  """
  of_half, of_ratio, of_place = jax.random.split(key, 3)
  ratio = jax.random.uniform(of_ratio, (count, 1), minval=1, maxval=most)
  ratio = jnp.where(jax.random.bernoulli(of_half, shape=(count, 1)), ratio, 1)
  margin = (ratio - 1) * jnp.asarray(size)
  return _maps(-margin * jax.random.uniform(of_place, (count, 2)), ratio)


def ssd_crop(key: jax.Array, batch: Batch, maps: jax.Array) -> tuple[Batch, jax.Array]:
  """Returns the batch, and maps [B, 2, 3] with a crop of each image, resized to the whole, added.

  A box whose centre is not in the crop is no longer valid.
  """
  size, count = batch["image"].shape[-3:-1], len(maps)
  has = "boxes" in batch
  boxes = move_boxes(batch["boxes"], maps, size) if has else jnp.zeros((count, 0, 4))
  valid = batch["valid"] if has else jnp.zeros((count, 0))
  limit = jnp.asarray([size[1], size[0]] * 2)
  patches = limit * jax.vmap(patch)(jax.random.split(key, count), boxes / limit, valid)
  low, high = patches[:, :2], patches[:, 2:]
  if has:
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    inside = ((centre >= low[:, None]) & (centre <= high[:, None])).all(-1)
    batch = {**batch, "valid": valid * inside.astype(valid.dtype)}
  return batch, compose(maps, _maps(low[:, ::-1], ((high - low) / limit[:2])[:, ::-1]))


def patch(key: jax.Array, boxes: jax.Array, valid: jax.Array) -> jax.Array:
  """Returns the crop [4] of an image; its coordinates and those of boxes [N, 4] are from 0 to 1.

  It is the whole image, or the first of `TRIES` random patches that overlaps a box by a least IoU,
  which is drawn from `OVERLAPS`. The square root of a patch's area is drawn from 0.3 to 1, its
  aspect ratio from 1/2 to 2 times the image's.
  """
  of_rule, *keys = jax.random.split(key, 4)
  scale, shape = (jax.random.uniform(k, (TRIES,)) for k in keys[:2])
  scale = 0.3 + 0.7 * scale
  least, most = jnp.maximum(0.5, scale**2), jnp.minimum(2, 1 / scale**2)  # patches fit the image
  ratio = jnp.sqrt(least + (most - least) * shape)
  sides = jnp.stack([scale * ratio, scale / ratio], -1)
  low = jax.random.uniform(keys[2], (TRIES, 2)) * (1 - sides)
  patches = jnp.concatenate([low, low + sides], -1)
  rule = jax.random.randint(of_rule, (), 0, len(OVERLAPS) + 1)
  bound = jnp.asarray([*OVERLAPS, 2.0])[rule]  # no IoU reaches 2: the image stays whole
  overlap = jnp.where(valid[:, None] > 0, iou(boxes, patches), 0)
  fits = (overlap >= bound).any(0) | (bound == 0)
  return jnp.where(fits.any(), patches[fits.argmax()], jnp.asarray([0.0, 0, 1, 1]))


def _maps(corner, scale):
  """Returns maps of crops by their corner [B, 2] (row, column) and scale [B, 2] of the sides.

  Pixel i spans i to i + 1.
  """
  scale = jnp.broadcast_to(scale, corner.shape)
  offset = corner + scale / 2 - 0.5
  return jnp.concatenate([jax.vmap(jnp.diag)(scale), offset[..., None]], -1)
