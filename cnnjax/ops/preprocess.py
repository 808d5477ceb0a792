"""What has to happen to an image before a network sees it, as a value."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Preprocessing:
  """Resize, then crop, then scale to 0..1, subtract the mean and divide by the deviation.

  Attributes:
    resize: (height, width) that the whole image is scaled to; None leaves its size alone.
    crop: (height, width) cut from the centre; where larger than the image, zeros are added around.
    channels: 1 for grey, 3 for RGB.
    mean: one value a channel, or one for all, of pixels scaled to 0..1.
    std: likewise.
  """

  resize: tuple[int, int] | None = None
  crop: tuple[int, int] | None = None
  channels: int = 3
  mean: tuple[float, ...] = (0.0,)
  std: tuple[float, ...] = (1.0,)

  @property
  def shape(self) -> tuple[int, int, int] | None:
    """(height, width, channels) of what the network sees, None where any size may come."""
    size = self.crop or self.resize
    return size and (*size, self.channels)


def normalize(images: jax.Array, preprocessing: Preprocessing) -> jax.Array:
  """Returns uint8 images [..., H, W, C] as float32, (pixel / 255 - mean) / std."""
  mean, std = (jnp.asarray(v, jnp.float32) for v in (preprocessing.mean, preprocessing.std))
  return (images.astype(jnp.float32) / 255.0 - mean) / std
