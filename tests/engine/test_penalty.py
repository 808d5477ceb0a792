"""Penalties against their formulas: in the loss, and decoupled from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.engine import penalty
from cnnjax.errors import UserError

PARAMS = {
  "head": {"kernel": jnp.array([[2.0, -1.0], [0.05, 0.0]]), "bias": jnp.array([3.0, -3.0])},
  "trunk": {"conv": {"kernel": jnp.array([[0.5, -0.25]])}},
}


def test_costs_and_gradients_by_path():
  rows = (("l1", 0.1, "kernel$"), ("l2", 0.01, "head/"))
  cost, grads = jax.value_and_grad(penalty.penalty)(PARAMS, rows)
  assert cost == pytest.approx(0.1 * (3.05 + 0.75) + 0.005 * (4 + 1 + 0.05**2 + 18))
  np.testing.assert_allclose(grads["trunk"]["conv"]["kernel"], [[0.1, -0.1]])
  want = 0.1 * np.sign(PARAMS["head"]["kernel"]) + 0.01 * PARAMS["head"]["kernel"]
  np.testing.assert_allclose(grads["head"]["kernel"], want)
  np.testing.assert_allclose(grads["head"]["bias"], [0.03, -0.03])


def test_decoupled_they_decay_and_make_exact_zeros():
  rows = (("l1", 1.0, "head/kernel"), ("l2", 0.5, "conv"))
  link = penalty.shrink(rows, lambda step: 0.1 * (step + 1))
  updates = jax.tree.map(lambda w: jnp.full_like(w, 0.03), PARAMS)
  moved, state = link.update(updates, link.init(PARAMS), PARAMS)
  new = jax.tree.map(jnp.add, PARAMS, moved)
  np.testing.assert_allclose(new["head"]["kernel"], [[1.93, -0.87], [0, 0]], rtol=1e-6)
  assert np.count_nonzero(new["head"]["kernel"]) == 2
  assert np.array_equal(moved["head"]["bias"], updates["head"]["bias"])
  kernel = np.array([[0.5, -0.25]])
  np.testing.assert_allclose(new["trunk"]["conv"]["kernel"], kernel + 0.03 - 0.05 * kernel)
  moved, _ = link.update(updates, state, PARAMS)  # at the second step's rate
  np.testing.assert_allclose(moved["trunk"]["conv"]["kernel"], 0.03 - 0.1 * kernel)


@pytest.mark.parametrize(
  ("rows", "sentence"),
  [
    ((("l3", 0.1, "kernel"),), "unknown kind in optim.penalties 'l3'; known: l1, l2"),
    ((("l1", -0.1, "kernel"),), "the strength of l1 must be a number of at least 0; found -0.1"),
    ((("l1", 0.1),), r"rows \(kind, strength, pattern\); found \('l1', 0.1\)"),
    ((("l1", 0.1, "kernle"),), "no parameter's path holds 'kernle'; they are such as head/bias"),
    ((("l1", 0.1, "("),), "'\\(' is no regular expression"),
  ],
)
def test_refusals(rows, sentence):
  with pytest.raises(UserError, match=sentence):
    penalty.check(rows, PARAMS)
