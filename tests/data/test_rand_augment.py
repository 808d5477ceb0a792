"""Each of the fourteen operations is Pillow's, and the others rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnnjax.data.rand_augment import NAMES, apply, rand_augment

BYTES = np.random.default_rng(0).integers(20, 200, (4, 16, 16, 3), dtype=np.uint8)
BYTES[1, :, :, 0] = 90  # a channel without contrast
run = jax.jit(apply, static_argnums=3)


def turned(image, *, angle=0.0, shear=(0.0, 0.0), move=(0.0, 0.0)):
  """Returns Pillow's affine map about the centre, (x, y) -> where it looks."""
  c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
  matrix = np.array([[c, s + shear[0]], [-s + shear[1], c]])
  centre = np.array([8.0, 8.0])
  offset = centre - matrix @ centre + move
  data = (*matrix[0], offset[0], *matrix[1], offset[1])
  return image.transform(image.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)


def enhanced(kind, part):
  return lambda image: kind(image).enhance(1 + 0.9 * part)


def pillow(part):
  return {
    "identity": lambda image: image,
    "auto_contrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "rotate": lambda image: turned(image, angle=30 * part),
    "solarize": lambda image: ImageOps.solarize(image, round(256 * (1 - part))),
    "color": enhanced(ImageEnhance.Color, part),
    "posterize": lambda image: ImageOps.posterize(image, 8 - round(4 * part)),
    "contrast": enhanced(ImageEnhance.Contrast, part),
    "brightness": enhanced(ImageEnhance.Brightness, part),
    "sharpness": enhanced(ImageEnhance.Sharpness, part),
    "shear_x": lambda image: turned(image, shear=(0.3 * part, 0)),
    "shear_y": lambda image: turned(image, shear=(0, 0.3 * part)),
    "translate_x": lambda image: turned(image, move=(0.45 * 16 * part, 0)),
    "translate_y": lambda image: turned(image, move=(0, 0.45 * 16 * part)),
  }


@pytest.mark.parametrize("part", [0.5, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_as_pillow(name, part):
  drawn = jnp.full(4, NAMES.index(name))
  found = np.asarray(run(BYTES.astype(np.float32), drawn, jnp.ones(4), part))
  assert found.min() >= 0 and found.max() <= 255
  want = np.stack([np.asarray(pillow(part)[name](Image.fromarray(i))) for i in BYTES])
  close = np.abs(found - want.astype(np.float32)) <= 2.5  # Pillow rounds on the way
  geometric = name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
  inside = np.s_[:, 5:-5, 5:-5] if geometric else np.s_[:]  # at the border Pillow does not blend
  if name.startswith("translate"):  # half of a row or a column comes in from outside
    inside = np.s_[:, :8, :8]
  assert close[inside].all()


def test_each_image_draws_its_own():
  images = np.tile(BYTES[:1], (300, 1, 1, 1)).astype(np.float32)
  found = np.asarray(
    jax.jit(rand_augment, static_argnums=(2, 3))(jax.random.key(0), images, 1, 9.0)
  )
  kinds = {image.tobytes() for image in found}
  assert len(kinds) == 5 + 2 * 9  # nine have a direction
  still = (found == images).all((1, 2, 3)).mean()
  assert 0.03 < still < 0.13  # one in fourteen
