"""Colours change as Pillow's, SciPy's and colorsys's do."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage

from cnnjax.data import colour

BYTES = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), dtype=np.uint8)
IMAGES = BYTES.astype(np.float32)
KEY = jax.random.key(0)


def run(function, *arguments):
  """Returns the images after a change of colour, as one program."""
  *arrays, strength = arguments
  return np.asarray(jax.jit(lambda *arrays: function(*arrays, strength))(*arrays))


@pytest.mark.parametrize(
  ("function", "enhance"),
  [
    (colour.brightness, ImageEnhance.Brightness),
    (colour.contrast, ImageEnhance.Contrast),
    (colour.saturation, ImageEnhance.Color),
  ],
)
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
def test_blends_are_pillows(monkeypatch, function, enhance, factor):
  monkeypatch.setattr(colour, "_factor", lambda key, images, strength: factor)
  found = np.clip(run(function, KEY, IMAGES, 1.0), 0, 255)
  for one, image in zip(found, BYTES):
    want = np.asarray(enhance(Image.fromarray(image)).enhance(factor), np.float32)
    np.testing.assert_allclose(one, want, atol=2.0)  # Pillow rounds luminance and mean


def test_factors_differ_and_stay_within():
  factors = np.asarray(colour._factor(KEY, np.zeros((500, 1, 1, 3)), 0.4)).ravel()
  assert 0.6 <= factors.min() < 0.62 and 1.38 < factors.max() <= 1.4
  assert np.asarray(colour._factor(KEY, np.zeros((500, 1, 1, 3)), 3.0)).min() >= 0


def test_hue_is_colorsys():
  found = run(colour.hue, KEY, IMAGES, 0.3)
  turns = jax.random.uniform(KEY, (3,), minval=-0.3, maxval=0.3)
  for one, image, turn in zip(found, IMAGES, turns):
    for pixel, was in zip(one.reshape(-1, 3), image.reshape(-1, 3)):
      h, s, v = colorsys.rgb_to_hsv(*(was / 255))
      want = 255 * np.asarray(colorsys.hsv_to_rgb((h + float(turn)) % 1, s, v))
      np.testing.assert_allclose(pixel, want, atol=0.1)


def test_blur_is_scipys():
  sigma = jnp.asarray([0.4, 1.0, 2.0])
  found = run(colour.gaussian, IMAGES, sigma, 8)
  for one, image, s in zip(found, IMAGES, sigma):
    want = ndimage.gaussian_filter(image, (s, s, 0), mode="nearest", radius=(8, 8, 0))
    np.testing.assert_allclose(one, want, atol=1e-2)
  np.testing.assert_allclose(
    run(colour.blur, KEY, jnp.full((2, 5, 5, 1), 7.0), 2.0), 7.0, rtol=1e-5
  )


def test_grey_noise_and_principal_colours():
  many = np.tile(IMAGES[:1], (400, 1, 1, 1))
  faded = run(colour.fade, KEY, many, 0.25)
  grey = (faded == faded[..., :1]).all((1, 2, 3))
  assert abs(grey.mean() - 0.25) < 0.08
  np.testing.assert_array_equal(faded[~grey], many[~grey])
  noise = run(colour.noise, KEY, many, 0.1) - many
  assert abs(noise.mean()) < 0.2 and 0.08 * 255 < noise.std((1, 2, 3)).max() < 0.12 * 255
  added = run(colour.pca, KEY, many, 0.1) - many
  assert np.abs(added - added[:, :1, :1]).max() < 1e-3  # one colour an image
  vectors = np.asarray(colour.VECTORS)
  np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-3)
  along = added[:, 0, 0] @ vectors / 255
  np.testing.assert_allclose(along.std(0), 0.1 * np.asarray(colour.DEVIATIONS), rtol=0.15)


def test_grey_images_have_no_colour_to_change():
  one = jnp.asarray(IMAGES[..., :1])
  for function in (colour.hue, colour.pca, colour.saturation):
    np.testing.assert_allclose(run(function, KEY, one, 0.3), one, atol=1e-4)
