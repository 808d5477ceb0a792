"""How an image is prepared for a network, as a value that a model or a config holds."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Preprocessing:
  """Resize, then crop, then scale to 0..1, subtract the mean and divide by the deviation.

  Attributes:
    resize: (height, width) that the whole image is scaled to, or one number for its shorter side;
      None leaves its size alone.
    crop: (height, width) cut from the centre; where larger than the image, zeros are added around.
    channels: 1 for grey, 3 for RGB.
    mean: one value a channel, or one for all, of pixels scaled to 0..1.
    std: their standard deviation, in the same form.
    longest: limit of the longer side, where `resize` is the shorter one's length.
    multiple: a normalised image is padded with zeros, below and to the right, to sides that are
      multiples of this; so few sizes are compiled for.
    interpolation: of the resize: "bilinear" or "bicubic", which are antialiased, or "linear", which
      is not, in float32, as torchvision's detectors do.
    tile: (height, width) of the window that the network sees of an image, where it does not see the
      whole: a random one in training, overlapping ones in evaluation and prediction.
    overlap: part of such a window, at least, that the next one covers too.
    labels: name of the list of class names (`models.weights.labels`), "" for none.
  """

  input = "image"

  resize: tuple[int, int] | int | None = None
  crop: tuple[int, int] | None = None
  longest: int | None = None
  multiple: int = 1
  channels: int = 3
  mean: tuple[float, ...] = (0.0,)
  std: tuple[float, ...] = (1.0,)
  interpolation: str = "bilinear"
  tile: tuple[int, int] | None = None
  overlap: float = 0.5
  labels: str = ""

  @property
  def shape(self) -> tuple[int, int, int] | None:
    """(height, width, channels) of the network's input, None where any size is possible."""
    size = self.crop or self.resize
    return (*size, self.channels) if isinstance(size, tuple) else None


IMAGENET = Preprocessing(  # of most networks trained on ImageNet
  resize=256, crop=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)


def normalize(images: jax.Array, preprocessing: Preprocessing) -> jax.Array:
  """Returns uint8 images [..., H, W, C] as float32, (pixel / 255 - mean) / std."""
  mean, std = (jnp.asarray(v, jnp.float32) for v in (preprocessing.mean, preprocessing.std))
  return (images.astype(jnp.float32) / 255.0 - mean) / std
