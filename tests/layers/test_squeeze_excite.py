"""Squeeze and excitation by its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.layers import SqueezeExcite


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("use_bias", [True, False])
def test_by_formula(use_bias):
  draws = np.random.default_rng(0)
  x = draws.normal(1, 2, (3, 4, 5, 8)).astype(np.float32)
  layer = SqueezeExcite(2, use_bias)
  params = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
  params = jax.tree.map(lambda p: draws.normal(size=p.shape).astype(np.float32), params)
  fc1, fc2 = params["fc1"], params["fc2"]
  assert fc1["kernel"].shape == (8, 2) and fc2["kernel"].shape == (2, 8)
  assert ("bias" in fc1) == ("bias" in fc2) == use_bias
  hidden = np.maximum(x.mean((1, 2)) @ fc1["kernel"] + fc1.get("bias", 0), 0)
  gate = sigmoid(hidden @ fc2["kernel"] + fc2.get("bias", 0))
  found = jax.jit(layer.apply)({"params": params}, x)
  np.testing.assert_allclose(found, x * gate[:, None, None], rtol=1e-4, atol=1e-5)


def test_each_image_has_a_gate_of_its_own():
  x = np.random.default_rng(0).normal(size=(2, 3, 3, 8)).astype(np.float32)
  layer = SqueezeExcite(4)
  variables = layer.init(jax.random.key(0), x)
  apply = jax.jit(layer.apply)
  both, one = apply(variables, x), apply(variables, x[:1])
  np.testing.assert_allclose(both[:1], one, rtol=1e-5, atol=1e-6)
  found = apply(variables, x[:1] * np.float32([0, 1, 1, 1, 1, 1, 1, 1]))
  assert not np.asarray(found[..., 0]).any()  # a gate only scales


def test_bfloat16_is_kept():
  x = jnp.ones((1, 2, 2, 8), jnp.bfloat16)
  layer = SqueezeExcite(2, dtype=jnp.bfloat16)
  y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
  assert y.dtype == jnp.bfloat16
  assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(variables))
