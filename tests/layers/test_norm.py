"""Batch normalisation by its formula."""

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.layers import BatchNorm


def test_by_hand():
  x = np.random.default_rng(0).normal(3, 2, (4, 3, 2, 5)).astype(np.float32)
  norm = BatchNorm(momentum=0.8)
  variables = norm.init(jax.random.key(0), x, train=False)
  assert {k: v.shape for k, v in variables["params"].items()} == {"scale": (5,), "bias": (5,)}
  scale, bias = np.arange(1, 6, dtype=np.float32), np.float32([0, 1, 0, 1, 0])
  variables = {**variables, "params": {"scale": scale, "bias": bias}}
  y, changed = norm.apply(variables, x, train=True, mutable=["batch_stats"])
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * scale + bias, atol=1e-4)
  now = changed["batch_stats"]
  np.testing.assert_allclose(now["mean"], 0.2 * mean, rtol=1e-5)
  np.testing.assert_allclose(now["var"], 0.8 + 0.2 * var * 24 / 23, rtol=1e-5)  # n / (n - 1)
  y = norm.apply({**variables, "batch_stats": now}, x, train=False)
  want = (x - now["mean"]) / np.sqrt(now["var"] + 1e-5) * scale + bias
  np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


def test_statistics_are_float32_in_bfloat16():
  x = jnp.full((8, 4, 4, 2), 300.0, jnp.bfloat16) + jnp.arange(8.0)[:, None, None, None]
  norm = BatchNorm(dtype=jnp.bfloat16)
  variables = norm.init(jax.random.key(0), x, train=False)
  y, changed = norm.apply(variables, x.astype(jnp.bfloat16), train=True, mutable=["batch_stats"])
  assert y.dtype == jnp.bfloat16 and changed["batch_stats"]["var"].dtype == jnp.float32
  one = norm.apply(variables, x[:1, :1, :1], train=True, mutable=["batch_stats"])[1]
  assert np.isfinite(one["batch_stats"]["var"]).all()  # of a single value
