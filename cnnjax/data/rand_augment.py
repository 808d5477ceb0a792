"""RandAugment (Cubuk et al., arXiv:1909.13719): for each image a few operations of fourteen.

The arithmetic of all operations is applied to all images of a batch. For the operations that an
image did not draw, the strength is the one that changes nothing, so that there is no branch and no
loop over images.
"""

import math

import jax
import jax.numpy as jnp

from cnnjax.data.colour import grey
from cnnjax.data.warp import warp

NAMES = (  # section 3.2, in its order
  *("identity", "auto_contrast", "equalize", "rotate", "solarize", "color", "posterize"),
  *("contrast", "brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y"),
)
MOST = (
  10  # the magnitude at which strengths are the largest of AutoAugment (arXiv:1805.09501, table 6)
)
SMOOTH = ((1, 1, 1), (1, 5, 1), (1, 1, 1))  # Pillow's filter, to be divided by 13


def rand_augment(key: jax.Array, images: jax.Array, count: int, magnitude: float) -> jax.Array:
  """Returns images [B, H, W, C] from 0 to 255 after `count` operations that are drawn for each.

  Strengths are `magnitude` tenths of the largest; those with a direction get a random sign.
  """
  part = magnitude / MOST
  for each in jax.random.split(key, count):
    drawn_key, sign_key = jax.random.split(each)
    drawn = jax.random.randint(drawn_key, (len(images),), 0, len(NAMES))
    sign = jax.random.rademacher(sign_key, (len(images),)).astype(jnp.float32)
    images = apply(images, drawn, sign, part)
  return images


def apply(images: jax.Array, drawn: jax.Array, sign: jax.Array, part: float) -> jax.Array:
  """Returns images [B, H, W, C] after operation `drawn` [B] of `NAMES`, by `part` of its range.

  The sign [B] is the direction of the operations that have one.
  """

  def where(name, strength, rest=0.0):  # [B, 1, 1, 1]
    return jnp.where(drawn == NAMES.index(name), strength, rest)[:, None, None, None]

  def blend(images, name, middle):
    factor = where(name, 1 + 0.9 * part * sign, 1.0)
    return jnp.clip(middle + (images - middle) * factor, 0, 255)

  images = warp(images, _maps(drawn, sign * part, images.shape[1:3]))
  images = jnp.where(where("auto_contrast", True, False), auto_contrast(images), images)
  images = jnp.where(where("equalize", True, False), equalize(images), images)
  images = jnp.where(images >= where("solarize", 256 * (1 - part), 256.0), 255 - images, images)
  step = 2.0 ** where("posterize", round(4 * part))
  images = jnp.where(step > 1, jnp.floor(jnp.round(images) / step) * step, images)
  images = blend(images, "color", grey(images))
  images = blend(images, "contrast", grey(images).mean((1, 2, 3), keepdims=True))
  images = blend(images, "brightness", jnp.zeros(()))
  return blend(images, "sharpness", smooth(images))


def _maps(drawn, amount, size):
  """Returns maps [B, 2, 3] for `warp`: the identity unless an image drew a geometric operation."""
  height, width = size
  of = lambda name, most: jnp.where(drawn == NAMES.index(name), most * amount, 0.0)  # noqa: E731
  angle = of("rotate", math.radians(30))
  across, down = of("shear_x", 0.3), of("shear_y", 0.3)
  rows = [jnp.cos(angle), -jnp.sin(angle) + down, jnp.sin(angle) + across, jnp.cos(angle)]
  linear = jnp.stack(rows, -1).reshape(-1, 2, 2)
  centre = jnp.asarray([(height - 1) / 2, (width - 1) / 2])
  moved = jnp.stack([of("translate_y", 0.45 * height), of("translate_x", 0.45 * width)], -1)
  return jnp.concatenate([linear, (centre - linear @ centre + moved)[..., None]], -1)


def auto_contrast(images: jax.Array) -> jax.Array:
  """Stretches each channel of each image to 0..255."""
  low, high = images.min((1, 2), keepdims=True), images.max((1, 2), keepdims=True)
  wide = high > low
  return jnp.where(wide, (images - low) * (255 / jnp.where(wide, high - low, 1)), images)


def equalize(images: jax.Array) -> jax.Array:
  """Equalises the histogram of each channel of each image, as Pillow does."""
  levels = jnp.clip(jnp.round(images), 0, 255).astype(jnp.int32)

  def one(channel):
    count = jnp.bincount(channel.ravel(), length=256)
    last = count[255 - jnp.argmax(count[::-1] > 0)]
    step = (channel.size - last) // 255
    before = jnp.cumsum(count) - count
    table = jnp.clip((step // 2 + before) // jnp.maximum(step, 1), 0, 255)
    return jnp.where(step > 0, table, jnp.arange(256))[channel]

  found = jax.vmap(jax.vmap(one, in_axes=-1, out_axes=-1))(levels)
  return found.astype(images.dtype)


def smooth(images: jax.Array) -> jax.Array:
  """Returns images filtered by `SMOOTH`, with the pixels at the border unchanged."""
  height, width = images.shape[1:3]
  if min(height, width) < 3:
    return images
  parts = (
    weight * images[:, i : height - 2 + i, j : width - 2 + j]
    for i, row in enumerate(SMOOTH)
    for j, weight in enumerate(row)
  )
  return images.at[:, 1:-1, 1:-1].set(sum(parts) / 13)
