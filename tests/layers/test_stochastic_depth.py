"""Stochastic depth: what is dropped, how often, and that evaluation drops nothing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.layers import StochasticDepth, death_rates

# LLVM's optimiser takes most of the time that compiling takes
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def test_whole_images_are_dropped_at_the_rate_and_the_mean_is_kept():
  x = jnp.ones((4000, 2, 2, 3))
  y = StochasticDepth(0.3).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
  each = np.asarray(y).reshape(4000, -1)
  assert np.all(each == each[:, :1])  # an image is dropped whole
  assert set(np.round(np.unique(each), 5)) == {0, np.float32(np.round(1 / 0.7, 5))}
  assert np.mean(each == 0) == pytest.approx(0.3, abs=0.03)
  assert StochasticDepth(0.3).apply({}, x, train=False) is x


def test_rates_grow_to_the_last():
  assert death_rates(4, 0.5) == [0.125, 0.25, 0.375, 0.5]


@pytest.mark.parametrize("name", ["resnet20_cifar", "seresnet20_cifar"])
def test_a_network_evaluates_as_without_it(name):
  plain = cnnjax.create_model(name, n=1)
  deep = cnnjax.create_model(name, n=1, stochastic_depth=0.9)
  x = jax.random.normal(jax.random.key(1), (4, 16, 16, 3))
  variables = quick(lambda key: plain.init(key, x, train=False))(jax.random.key(0))
  want, found = (quick(partial(m.apply, train=False))(variables, x) for m in (plain, deep))
  np.testing.assert_array_equal(found["logits"], want["logits"])

  @quick
  def trained(key):
    options = dict(train=True, rngs={"dropout": key}, mutable=["batch_stats"])
    return deep.apply(variables, x, **options)[0]["logits"]

  assert not np.allclose(trained(jax.random.key(0)), trained(jax.random.key(1)))


def test_blocks_without_a_shortcut_are_refused():
  model = cnnjax.create_model("plain20_cifar", stochastic_depth=0.5)
  with pytest.raises(UserError, match="Plain blocks have no shortcut"):
    jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.ones((1, 32, 32, 3)), train=False))
