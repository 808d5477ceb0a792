"""Random shifts, found again by trying all, and mirrors."""

import itertools
from functools import partial

import jax
import numpy as np
import pytest

from cnnjax.data.augment import augment, random_flip, random_shift

IMAGES = np.random.default_rng(0).integers(1, 256, (64, 6, 5, 2), dtype=np.uint8)
shift_by = jax.jit(random_shift, static_argnums=2)


def moved(image, down, right):
  """Returns an image moved by whole pixels, zeros coming in."""
  height, width = image.shape[:2]
  margin = max(abs(down), abs(right))
  padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)))
  return padded[margin - down :, margin - right :][:height, :width]


def find(image, result, most):
  """Returns the only shift of at most so many pixels that makes the result."""
  steps = range(-most, most + 1)
  (found,) = [s for s in itertools.product(steps, steps) if (moved(image, *s) == result).all()]
  return found


@pytest.mark.parametrize("pixels", [1, 2])
def test_each_image_is_moved_by_at_most_so_many_pixels(pixels):
  results = np.asarray(shift_by(jax.random.key(0), IMAGES, pixels))
  assert results.shape == IMAGES.shape
  shifts = [find(image, result, pixels) for image, result in zip(IMAGES, results)]
  for axis in zip(*shifts):
    assert set(axis) == set(range(-pixels, pixels + 1))
  assert len(set(shifts)) > 2 * pixels + 1
  assert any(down != right for down, right in shifts)


def test_the_key_decides():
  results = [np.asarray(shift_by(jax.random.key(k), IMAGES, 2)) for k in (0, 0, 1)]
  np.testing.assert_array_equal(results[0], results[1])
  assert (results[0] != results[2]).any()


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16"])
def test_the_dtype_stays(dtype):
  images = jax.ShapeDtypeStruct((3, 4, 5, 1), dtype)
  result = jax.eval_shape(partial(random_shift, pixels=2), jax.random.key(0), images)
  assert result.dtype == images.dtype and result.shape == images.shape


def test_about_half_are_mirrored_and_twice_is_identity():
  images = np.tile(IMAGES, (16, 1, 1, 1))
  once = np.asarray(random_flip(jax.random.key(0), images))
  mirrored = (once == images[:, :, ::-1]).all((1, 2, 3))
  assert ((once == images).all((1, 2, 3)) == ~mirrored).all()
  assert abs(mirrored.mean() - 0.5) < 0.05 and once.dtype == images.dtype
  np.testing.assert_array_equal(random_flip(jax.random.key(0), once), images)
  assert (np.asarray(random_flip(jax.random.key(1), images)) != once).any()


def test_mirrors_do_not_depend_on_shifts():
  key, ramp = jax.random.key(3), np.tile(np.arange(1, 9, dtype=np.uint8)[:, None], (4096, 8, 1, 1))
  images = ramp + 10 * np.arange(8, dtype=np.uint8)[:, None, None]  # a gradient in both directions
  result = np.asarray(augment(key, {"image": images}, shift=1, flip=True)["image"])[..., 0]
  middle = result[:, 4, 4].astype(int)
  mirrored = result[:, 4, 5] < result[:, 4, 3]
  down = 4 - middle // 10
  assert set(down) == {-1, 0, 1}
  for step in (-1, 0, 1):
    assert abs(mirrored[down == step].mean() - 0.5) < 0.05


def test_augment_moves_images_only_and_only_when_asked():
  batch = {"image": IMAGES, "label": np.arange(64), "mask": np.ones(64)}
  assert augment(jax.random.key(0), batch)["image"] is IMAGES
  found = augment(jax.random.key(0), batch, shift=2)
  np.testing.assert_array_equal(found["image"], shift_by(jax.random.key(0), IMAGES, 2))
  assert found["label"] is batch["label"] and batch["image"] is IMAGES
