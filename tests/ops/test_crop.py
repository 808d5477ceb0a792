"""Windows warped to one size, with what is around them."""

import numpy as np
import pytest

from cnnjax.errors import UserError
from cnnjax.ops.crop import crop

RAMP = np.stack(np.meshgrid(np.arange(20.0), np.arange(30.0)), -1)[None].astype(np.float32) + 0.5


def test_a_window_at_its_own_size_is_cut_out():
  image = np.random.default_rng(0).normal(size=(2, 12, 16, 3)).astype(np.float32)
  boxes = np.asarray([[[3, 2, 11, 10]], [[0, 4, 8, 12]]], np.float32)
  found = crop(image, boxes, 8)
  np.testing.assert_allclose(found[0, 0], image[0, 2:10, 3:11], atol=1e-6)
  np.testing.assert_allclose(found[1, 0], image[1, 4:12, :8], atol=1e-6)
  around = crop(image, np.asarray([[[5, 4, 9, 8]]] * 2, np.float32), 8, 2)
  np.testing.assert_allclose(around[0, 0], image[0, 2:10, 3:11], atol=1e-6)


def test_a_warped_window_spans_box_and_context():
  found = np.asarray(crop(RAMP, np.asarray([[[6, 8, 12, 20]]], np.float32), 16, 2))[0, 0]
  np.testing.assert_allclose(found[0, :, 0], 6 + (np.arange(16) + 0.5 - 2) * 6 / 12, rtol=1e-5)
  np.testing.assert_allclose(found[:, 0, 1], 8 + (np.arange(16) + 0.5 - 2) * 12 / 12, rtol=1e-5)


def test_outside_of_the_image_it_is_zero():
  found = np.asarray(crop(RAMP, np.asarray([[[0, 0, 12, 12]]], np.float32), 16, 4))[0, 0]
  assert not found[:2].any() and not found[:, :2].any() and found[4:, 4:].all()
  with pytest.raises(UserError, match="context of 8 pixels leaves no window in 16"):
    crop(RAMP, np.ones((1, 1, 4), np.float32), 16, 8)
