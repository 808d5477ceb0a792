"""Schedules by hand, and every optimiser of optax by its name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from cnnjax.engine import optim
from cnnjax.errors import UserError


def section(**changes):
  base = dict(
    name="sgd",
    arguments={},
    learning_rate=0.1,
    schedule="constant",
    warmup_epochs=0.0,
    warmup_start=0.0,
    milestones=(),
    decay=0.1,
    clip_norm=0.0,
    weight_decay=0.0,
    penalties=(),
    decoupled=False,
    rates=(),
  )
  return ConfigDict({**base, **changes})


def rates(config, steps=40, per_epoch=10):
  rate = optim.schedule(config, per_epoch, steps)
  return np.array([float(rate(step)) for step in range(steps + 1)])


def test_constant_and_step():
  assert np.allclose(rates(section()), 0.1)
  got = rates(section(schedule="step", milestones=(1, 3)))
  assert np.allclose(got[[0, 9, 10, 29, 30, 40]], [0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_warmup_then_cosine():
  got = rates(section(schedule="cosine", warmup_epochs=1.0))
  assert np.allclose(got[:11], np.linspace(0, 0.1, 11))
  assert np.allclose(got[10:], 0.05 * (1 + np.cos(np.pi * np.arange(31) / 30)))
  assert rates(section(schedule="step", milestones=(2,), warmup_epochs=1.0))[[19, 20]] == (
    pytest.approx([0.1, 0.01])
  )


def test_a_triangle_is_growth_and_a_linear_fall():
  options = dict(schedule="linear", warmup_epochs=1.0, warmup_start=0.2, decay=0.07)
  got = rates(section(**options))
  assert np.allclose(got[:11], np.linspace(0.02, 0.1, 11))
  assert np.allclose(got[10:], np.linspace(0.1, 0.007, 31))
  assert np.allclose(rates(section(schedule="linear", decay=0.0)), np.linspace(0.1, 0, 41))


def test_sgd_forms_follow_their_formulas():
  grads = [np.float32(g) for g in (1.0, -2.0, 3.0)]

  def walk(**arguments):
    chosen = optim.optimizer(section(arguments=arguments, schedule="cosine"), lambda step: 0.1)
    state, places = chosen.init(jnp.float32(0)), [0.0]
    for g in grads:
      update, state = chosen.update(jnp.float32(g), state)
      places.append(places[-1] + float(update))
    return places[1:]

  assert np.allclose(walk(), np.cumsum([-0.1, 0.2, -0.3]))
  speed = np.array([1.0, -2 + 0.9, 3 + 0.9 * (-2 + 0.9)])
  assert np.allclose(walk(momentum=0.9), np.cumsum(-0.1 * speed))
  ahead = np.array(grads) + 0.9 * speed
  assert np.allclose(walk(momentum=0.9, nesterov=True), np.cumsum(-0.1 * ahead))


def test_clipping_bounds_the_norm():
  chosen = optim.optimizer(section(clip_norm=1.0, learning_rate=1.0), lambda step: 1.0)
  grads = {"a": jnp.full(4, 3.0)}
  update, _ = chosen.update(grads, chosen.init(grads))
  assert np.allclose(update["a"], -0.5)


def test_kernels_decay_after_clipping_and_one_dimension_does_not():
  config = section(clip_norm=1.0, weight_decay=0.1, learning_rate=1.0)
  chosen = optim.optimizer(config, lambda step: 1.0)
  params = {"kernel": jnp.full((2, 2), 5.0), "bias": jnp.full(2, 7.0)}
  grads = {"kernel": jnp.full((2, 2), 8.0), "bias": jnp.zeros(2)}
  update, _ = chosen.update(grads, chosen.init(params), params)
  assert np.allclose(update["kernel"], -(0.5 + 0.1 * 5.0)) and np.allclose(update["bias"], 0)


PARAMS = {
  "trunk": {"kernel": jnp.full((2, 2), 5.0)},
  "head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
}


def test_rates_by_path_are_those_of_a_run_at_that_rate():
  """The first pattern counts; 0 freezes, decay and all; clipping sees every gradient that is."""
  rows = (("head/bias", 2.0), ("trunk", 0.0), ("head", 0.1))
  options = dict(weight_decay=0.1, clip_norm=1.0, arguments=dict(momentum=0.9), schedule="cosine")
  chosen = optim.optimizer(section(rates=rows, **options), lambda step: 0.5)
  scaled = {f: optim.optimizer(section(**options), lambda step, f=f: 0.5 * f) for f in (0.1, 2.0)}
  states, now, params = {f: o.init(PARAMS) for f, o in scaled.items()}, chosen.init(PARAMS), PARAMS
  for _ in range(3):
    grads, want = jax.tree.map(lambda w: w + 1, params), {}
    for factor, other in scaled.items():
      want[factor], states[factor] = other.update(grads, states[factor], params)
    update, now = chosen.update(grads, now, params)
    np.testing.assert_allclose(update["head"]["bias"], want[2.0]["head"]["bias"], rtol=1e-6)
    np.testing.assert_allclose(update["head"]["kernel"], want[0.1]["head"]["kernel"], rtol=1e-6)
    assert not np.any(update["trunk"]["kernel"])
    params = jax.tree.map(jnp.add, params, update)


def test_a_row_that_ends_freezes_after_its_epochs():
  rows = (("head/bias", 2.0, 1.5), ("head", 1.0))
  options = dict(weight_decay=0.1, arguments=dict(momentum=0.9))
  chosen = optim.optimizer(section(rates=rows, **options), lambda step: 0.5, 2)
  plain = optim.optimizer(section(rates=(("head/bias", 2.0),), **options), lambda step: 0.5, 2)
  now, other, params = chosen.init(PARAMS), plain.init(PARAMS), PARAMS
  for step in range(5):
    grads = jax.tree.map(lambda w: w + 1, params)
    update, now = chosen.update(grads, now, params)
    want, other = plain.update(grads, other, params)
    if step >= 3:  # 1.5 epochs of 2 steps
      assert not np.any(update["head"]["bias"])
      want["head"]["bias"] = update["head"]["bias"]
    jax.tree.map(np.testing.assert_array_equal, update, want)
    params = jax.tree.map(jnp.add, params, update)


def test_frozen_parameters_have_no_gradient():
  held = jax.grad(lambda p: sum(jnp.sum(w**2) for w in jax.tree.leaves(optim.hold(p, ROWS))))
  grads = held(PARAMS)
  assert not np.any(grads["trunk"]["kernel"]) and np.all(grads["head"]["kernel"])


ROWS = (("trunk", 0.0),)


@pytest.mark.parametrize(
  ("rows", "sentence"),
  [
    ((("trunk",),), r"rows \(pattern, factor\) or with epochs; found"),
    ((("trunk", 1.0, -2.0),), "an end in epochs must be a number of at least 0; found -2.0"),
    ((("trunk", -1.0),), "a factor must be a number of at least 0; found -1.0"),
    ((("tail", 1.0),), "no parameter's path holds 'tail'; they are such as head/bias"),
    ((("", 0.0),), "freeze every parameter"),
  ],
)
def test_wrong_rates(rows, sentence):
  with pytest.raises(UserError, match=sentence):
    optim.check(section(rates=rows), PARAMS)


@pytest.mark.parametrize(
  "name", ["sgd", "adam", "adamw", "lion", "rmsprop", "adagrad", "rprop", "sm3"]
)
def test_any_of_optax(name):
  chosen = optim.optimizer(section(name=name), lambda step: 0.1)
  params = {"a": jnp.ones(3)}
  _, now = chosen.update({"a": jnp.ones(3)}, chosen.init(params), params)
  update, _ = chosen.update({"a": jnp.ones(3)}, now, params)  # rprop's first is zero
  assert np.all(np.asarray(update["a"]) < 0)


@pytest.mark.parametrize(
  ("changes", "sentence"),
  [
    (dict(name="adamm"), "did you mean adam"),
    (dict(name="softmax_cross_entropy"), "unknown optim.name"),
    (dict(name="scale_by_rprop"), "unknown optim.name"),
    (dict(name="rprop", schedule="cosine"), "optim.name rprop .* cannot train"),
    (dict(name="lbfgs"), "optim.name lbfgs .* cannot train"),
    (dict(arguments=dict(momentun=0.9)), "did you mean momentum"),
    (dict(arguments=dict(learning_rate=0.9)), "unknown optim.arguments"),
  ],
)
def test_refusals(changes, sentence):
  with pytest.raises(UserError, match=sentence):
    optim.optimizer(section(**changes), lambda step: 0.1)


def test_unknown_schedule():
  with pytest.raises(UserError, match="did you mean cosine"):
    optim.schedule(section(schedule="cosin"), 10, 40)
