"""Airbench's initial parameters: identity kernels, and a layer that whitens given images."""

import jax
import jax.numpy as jnp
import numpy as np

import cnnjax
from cnnjax.models.classification.airbench import dirac


def test_dirac_kernels_copy_their_inputs():
  kernel = dirac(jax.random.key(0), (3, 3, 5, 8))
  x = np.random.default_rng(0).normal(size=(2, 6, 4, 5)).astype(np.float32)
  window = dict(window_strides=(1, 1), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
  y = jax.lax.conv_general_dilated(x, kernel, **window)
  np.testing.assert_allclose(y[..., :5], x, atol=1e-6)
  bound = 1 / np.sqrt(3 * 3 * 5)  # PyTorch's uniform draw
  rest = np.abs(kernel[..., 5:])
  assert 0.9 * bound < rest.max() <= bound
  assert dirac(jax.random.key(0), (3, 3, 8, 5))[1, 1].tolist() == np.eye(8, 5).tolist()


def test_first_layer_whitens_the_images_with_both_signs():
  model = cnnjax.create_model("airbench94")
  shapes = jax.eval_shape(
    lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
  )
  variables = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
  rng = np.random.default_rng(0)
  images = rng.normal(size=(64, 32, 32, 3)).cumsum(1).cumsum(2).astype(np.float32)
  images = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
  found = model.from_images(variables, images)
  assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, variables)
  kernel = found["params"]["trunk"]["whiten"]["kernel"]
  np.testing.assert_array_equal(kernel[..., :12], -kernel[..., 12:])
  cuts = [images[:, i : i + 31, j : j + 31] for i in (0, 1) for j in (0, 1)]
  outputs = np.concatenate(cuts, -1).reshape(-1, 12) @ kernel[..., :12].reshape(12, 12)
  moments = outputs.T @ outputs / len(outputs)
  np.testing.assert_allclose(moments - np.diag(np.diag(moments)), 0, atol=1e-3)
  assert (np.diag(moments) <= 1.001).all() and moments[0, 0] > 0.99  # v / (v + epsilon)
  assert not np.any(found["params"]["trunk"]["block1"]["conv1"]["kernel"])  # nothing else changes
