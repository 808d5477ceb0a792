"""Slices of a volume: head and front above, the person's right on the left."""

import numpy as np

from cnnjax.data.montage import GAP, GREY, flat, montage


def test_slices_lie_as_radiologists_have_them():
  volume, truth = np.zeros((128, 64, 32), np.float32), np.zeros((128, 64, 32), np.uint8)
  truth[100, 50, 25] = 1  # near the head, the front and the person's right
  image, (seen,) = flat(volume, [truth])
  assert image.shape == seen.shape == (128, 32 + 32 + 64 + 2 * GAP)
  axial, coronal, sagittal = seen[:64, :32], seen[:, 34:66], seen[:, 68:]
  assert np.argwhere(axial).tolist() == [[64 - 1 - 50, 32 - 1 - 25]]
  assert np.argwhere(coronal).tolist() == [[128 - 1 - 100, 32 - 1 - 25]]
  assert np.argwhere(sagittal).tolist() == [[128 - 1 - 100, 64 - 1 - 50]]


def test_voxels_have_the_shape_of_their_spacing():
  volume = np.random.default_rng(0).normal(size=(10, 64, 64, 1))
  image, _ = flat(volume, spacing=(5.0, 1.0, 1.0))
  assert image.shape == (128, 3 * 128 + 2 * GAP) and image.dtype == np.uint8
  assert (image[100:, 130:258] == GREY).all() and np.ptp(image[:100, 130:258]) > 100  # 10 of 5 mm
  assert max(montage(volume, 60).shape) == 60
