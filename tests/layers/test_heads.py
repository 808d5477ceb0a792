"""The linear head by its formula."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.layers import LinearHead


def test_it_is_the_mean_and_one_layer():
  x = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
  head = LinearHead(7)
  variables = jax.eval_shape(partial(head.init, train=False), jax.random.key(0), x)
  fc = {"kernel": np.random.default_rng(1).normal(size=(6, 7)), "bias": np.arange(7.0)}
  fc = jax.tree.map(np.float32, fc)
  assert jax.tree.map(jnp.shape, variables["params"]) == {"fc": jax.tree.map(jnp.shape, fc)}
  for train in (False, True):
    found = jax.jit(partial(head.apply, train=train))({"params": {"fc": fc}}, x)
    np.testing.assert_allclose(found, x.mean((1, 2)) @ fc["kernel"] + fc["bias"], atol=1e-5)


def test_dropout_is_of_the_mean_and_in_training_only():
  x = jnp.ones((1, 2, 2, 2000))
  head = LinearHead(1, dropout=0.75)
  params = {"fc": {"kernel": jnp.ones((2000, 1)), "bias": jnp.zeros(1)}}
  assert head.apply({"params": params}, x, train=False)[0, 0] == 2000
  found = head.apply({"params": params}, x, train=True, rngs={"dropout": jax.random.key(0)})
  assert found[0, 0] % 4 == 0 and 1500 < found[0, 0] < 2500  # kept values are four times as large


def test_logits_are_float32():
  x = jnp.ones((1, 2, 2, 8), jnp.bfloat16)
  head = LinearHead(3, dtype=jnp.bfloat16)
  make = partial(head.init_with_output, train=False)
  assert jax.eval_shape(make, jax.random.key(0), x)[0].dtype == jnp.float32
