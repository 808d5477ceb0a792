"""Linear interpolation by its formula, and maps cut and filled up."""

import numpy as np
import pytest

from cnnjax.ops.resize import centre, fit, resize


def line(x, size):
  """Returns x [n] at the centres of `size` equal parts, the outermost values held."""
  places = np.clip((np.arange(size) + 0.5) * len(x) / size - 0.5, 0, len(x) - 1)
  return np.interp(places, np.arange(len(x)), x)


@pytest.mark.parametrize(
  "space, size", [((4, 5), (8, 15)), ((7, 6), (3, 6)), ((3, 2, 4), (6, 5, 2))]
)
def test_resizing_goes_along_each_axis(space, size):
  x = np.random.default_rng(0).normal(size=(2, *space, 3)).astype(np.float32)
  want = x
  for axis, n in enumerate(size, 1):
    want = np.apply_along_axis(line, axis, want, n)
  np.testing.assert_allclose(resize(x, size), want, atol=1e-5)


def test_maps_are_cut_after_the_first_pixels_or_the_last_repeated():
  x = np.arange(6.0).reshape(1, 2, 3, 1)
  np.testing.assert_array_equal(fit(x, (3, 2))[0, ..., 0], [[0, 1], [3, 4], [3, 4]])
  assert fit(x, (2, 3)).shape == x.shape


def test_the_middle_of_a_map():
  x = np.arange(30.0).reshape(1, 5, 6, 1)
  np.testing.assert_array_equal(centre(x, (3, 2))[0, ..., 0], x[0, 1:4, 2:4, 0])
