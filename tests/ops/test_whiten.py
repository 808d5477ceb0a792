"""Whitened patches are uncorrelated."""

import numpy as np
import pytest

from cnnjax.ops.conv import conv
from cnnjax.ops.whiten import whitening


@pytest.mark.parametrize(("size", "channels"), [(2, 3), (3, 1)])
def test_outputs_of_whitened_patches_have_identity_covariance(size, channels):
  rng = np.random.default_rng(0)
  images = rng.normal(size=(1100, 9, 8, channels)).cumsum(1).cumsum(2)  # neighbours are alike
  images = ((images - images.mean()) / images.std()).astype(np.float32)
  kernel = whitening(images, size, 1e-7)
  depth = size * size * channels
  assert kernel.shape == (size, size, channels, depth) and kernel.dtype == np.float32
  outputs = np.asarray(conv(images, kernel)).reshape(-1, depth)
  np.testing.assert_allclose(outputs.T @ outputs / len(outputs), np.eye(depth), atol=2e-3)


def test_epsilon_limits_the_gain_of_small_eigenvalues():
  """Outputs have mean squares v / (v + epsilon), the largest first, and 0 where v is 0."""
  rng = np.random.default_rng(0)
  images = np.repeat(rng.normal(size=(50, 6, 6, 1)), 2, -1) * [1.0, 1.0]  # two equal channels
  outputs = np.asarray(conv(images, whitening(images, 1, 0.5))).reshape(-1, 2)
  v = 2 * np.mean(images[..., 0] ** 2)
  np.testing.assert_allclose(np.mean(outputs**2, 0), [v / (v + 0.5), 0], atol=1e-5)
