"""Rematerialised networks have the same gradients and need less memory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.models.classification import densenet, resnet

TRUNKS = {  # of one stage
  "bottleneck": partial(resnet.Trunk, (2,), resnet.Bottleneck),
  "dense": partial(densenet.Trunk, (3,)),
}


@pytest.mark.parametrize("trunk", TRUNKS)
def test_same_gradients_of_the_same_parameters_in_less_memory(trunk):
  x = np.random.default_rng(0).normal(size=(4, 64, 64, 3)).astype(np.float32)

  def compiled(rematerialise):
    model = TRUNKS[trunk](rematerialise=rematerialise)
    variables = jax.jit(partial(model.init, train=True))(jax.random.key(0), x)

    def loss(params):
      stats = {"batch_stats": variables["batch_stats"]}
      y, changed = model.apply({"params": params, **stats}, x, train=True, mutable=[*stats])
      return jnp.mean(jnp.sin(y["stage1"])), changed

    step = cnnjax.jit(jax.value_and_grad(loss, has_aux=True)).lower(variables["params"]).compile()
    return step(variables["params"]), step.memory_analysis().temp_size_in_bytes

  (held, memory), (again, less) = compiled(False), compiled(True)
  assert jax.tree.structure(held) == jax.tree.structure(again)
  for one, other in zip(jax.tree.leaves(held), jax.tree.leaves(again)):
    np.testing.assert_allclose(one, other, atol=1e-4 * max(1e-2, np.abs(one).max()))
  assert less < 0.9 * memory or jax.default_backend() != "cpu"
