"""Random changes of colour of images [B, H, W, C] from 0 to 255, each image by its own draw.

All return floats that may lie outside 0..255; `augment` clips them. Brightness, contrast and
saturation blend as Pillow's ImageEnhance does, with a factor drawn from 1 - strength to 1 +
strength.
"""

import math

import jax
import jax.numpy as jnp

GREY = (0.299, 0.587, 0.114)  # ITU-R 601, as in Pillow
# Krizhevsky et al. 2012, section 4.1, for ImageNet's pixels from 0 to 1: the eigenvectors of their
# covariance as columns, and the square roots of its eigenvalues.
VECTORS = (
  (-0.5675, 0.7192, 0.4009),
  (-0.5808, -0.0045, -0.8140),
  (-0.5836, -0.6948, 0.4203),
)
DEVIATIONS = (0.2175, 0.0188, 0.0045)


def grey(images: jax.Array) -> jax.Array:
  """Returns the luminance of images [..., 3], repeated over channels; of [..., 1] the images."""
  if images.shape[-1] != 3:
    return images
  return jnp.broadcast_to((images @ jnp.asarray(GREY))[..., None], images.shape)


def _factor(key, images, strength):
  shape = (len(images),) + (1,) * (images.ndim - 1)
  return jax.random.uniform(key, shape, minval=max(0.0, 1 - strength), maxval=1 + strength)


def brightness(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
  """Multiplies each image by a factor."""
  return images * _factor(key, images, strength)


def contrast(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
  """Multiplies the differences between an image's pixels and its mean luminance by a factor."""
  mean = grey(images).mean(tuple(range(1, images.ndim)), keepdims=True)
  return mean + (images - mean) * _factor(key, images, strength)


def saturation(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
  """Multiplies the differences between a pixel's channels and its luminance by a factor."""
  middle = grey(images)
  return middle + (images - middle) * _factor(key, images, strength)


def hue(key: jax.Array, images: jax.Array, turn: float) -> jax.Array:
  """Rotates the hue of each RGB image by up to `turn` turns (at most 1/2) in either direction."""
  if images.shape[-1] != 3:
    return images
  import dm_pix

  delta = jax.random.uniform(key, (len(images),), minval=-turn, maxval=turn)
  scaled = jnp.clip(images / 255, 0, 1)
  return 255 * jax.vmap(dm_pix.adjust_hue)(scaled, delta)


def fade(key: jax.Array, images: jax.Array, probability: float) -> jax.Array:
  """Makes each image grey with this probability."""
  shape = (len(images),) + (1,) * (images.ndim - 1)
  return jnp.where(jax.random.bernoulli(key, probability, shape), grey(images), images)


def noise(key: jax.Array, images: jax.Array, deviation: float) -> jax.Array:
  """Adds Gaussian noise; its standard deviation, in levels of 255, is drawn from 0 to this one."""
  strong, each = jax.random.split(key)
  shape = (len(images),) + (1,) * (images.ndim - 1)
  size = jax.random.uniform(strong, shape, maxval=deviation)
  return images + 255 * size * jax.random.normal(each, images.shape, images.dtype)


def pca(key: jax.Array, images: jax.Array, deviation: float) -> jax.Array:
  """Adds random multiples of ImageNet's principal components of colour (AlexNet: 0.1) to images."""
  if images.shape[-1] != 3:
    return images
  alpha = deviation * jax.random.normal(key, (len(images), 3))
  colour = 255 * (alpha * jnp.asarray(DEVIATIONS)) @ jnp.asarray(VECTORS).T
  return images + colour.reshape(len(images), *(1,) * (images.ndim - 2), 3)


def blur(key: jax.Array, images: jax.Array, deviation: float) -> jax.Array:
  """Convolves each image with a Gaussian whose deviation is drawn from 0.1 pixel to this one.

  Images are padded with the pixels at their border.
  """
  sigma = jax.random.uniform(key, (len(images),), minval=0.1, maxval=max(0.1, deviation))
  return gaussian(images, sigma, math.ceil(3 * deviation))


def gaussian(images: jax.Array, sigma: jax.Array, radius: int) -> jax.Array:
  """Returns images [B, ..., H, W, C] convolved with Gaussians of deviations sigma [B] in pixels."""
  offsets = jnp.arange(-radius, radius + 1)
  weights = jnp.exp(-0.5 * jnp.square(offsets / sigma[:, None]))
  weights = weights / weights.sum(1, keepdims=True)
  for axis in (images.ndim - 3, images.ndim - 2):
    around = [(0, 0)] * images.ndim
    around[axis] = (radius, radius)
    padded, size = jnp.pad(images, around, mode="edge"), images.shape[axis]
    shape = (-1,) + (1,) * (images.ndim - 1)
    images = sum(
      weights[:, i].reshape(shape) * jax.lax.slice_in_dim(padded, i, i + size, axis=axis)
      for i in range(2 * radius + 1)
    )
  return images
