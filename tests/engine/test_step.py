"""One update: what it computes, and that nothing else than its arguments decides it."""

import re
from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

from cnnjax.engine import state
from cnnjax.engine.compiler import compile_step
from cnnjax.engine.mesh import make_mesh
from cnnjax.engine.step import train_step
from cnnjax.tasks import classification as task


class Net(nn.Module):
  """Has all that a model may have: batch statistics and dropout."""

  norm: bool = True
  dropout: float = 0.0

  @nn.compact
  def __call__(self, x, *, train):
    x = nn.Dense(8)(x.reshape(x.shape[0], -1))
    if self.norm:
      x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
    x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(x))
    return {"logits": nn.Dense(3)(x)}


def batch(size=8, seed=0):
  rng = np.random.default_rng(seed)
  image = rng.normal(size=(size, 4, 4, 1)).astype(np.float32)
  return {"image": image, "label": np.arange(size) % 3, "mask": np.ones(size, np.float32)}


def setup(model, optimizer, ema=0.0, **options):
  init = jax.jit(partial(model.init, train=False))
  variables = init(jax.random.key(1), batch()["image"])
  now = state.create(variables, optimizer, bool(ema))
  step = partial(
    train_step,
    model=model,
    inputs=task.inputs,
    loss=task.loss,
    transform=lambda key, b: b,
    optimizer=optimizer,
    seed=0,
    ema=ema,
    **options,
  )
  return now, jax.jit(step)


def test_sgd_by_hand():
  model = Net(norm=False)
  now, step = setup(model, optax.sgd(0.1))
  after, logs = step(now, batch())

  def loss(params):
    logits = model.apply({"params": params}, batch()["image"], train=True)["logits"]
    each = optax.softmax_cross_entropy_with_integer_labels(logits, batch()["label"])
    return each.mean()

  value, grads = jax.jit(jax.value_and_grad(loss))(now.variables["params"])
  want = jax.tree.map(lambda p, g: p - 0.1 * g, now.variables["params"], grads)
  for a, b in zip(jax.tree.leaves(after.variables["params"]), jax.tree.leaves(want)):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
  assert after.step == 1
  assert logs["loss"][0] / logs["loss"][1] == pytest.approx(float(value), rel=1e-6)
  assert logs["gradient_norm"][0] == pytest.approx(float(optax.tree.norm(grads)), rel=1e-5)


def test_parameters_are_updated_in_place_and_not_copied_before():
  now, step = setup(Net(norm=False), optax.sgd(0.1, momentum=0.9))
  step = compile_step(step.__wrapped__, make_mesh(1), donate=True)
  program = step.lower(now, batch()).compile().as_text()
  parameter = "state_variables__params____Dense_1____kernel"
  assert parameter in program
  assert not re.search(rf"[ _]copy\(%{parameter}", program)


def test_a_barrier_before_the_update_is_the_cpus_alone():
  now, step = setup(Net(norm=False), optax.sgd(0.1))
  for platform, there in (("cpu", True), ("tpu", False), ("cuda", False)):
    program = step.trace(now, batch()).lower(lowering_platforms=(platform,)).as_text()
    assert ("optimization_barrier" in program) == there, platform


def test_batch_statistics_move():
  now, step = setup(Net(), optax.sgd(0.1))
  after, _ = step(now, batch())
  before = now.variables["batch_stats"]["BatchNorm_0"]["mean"]
  assert not np.allclose(after.variables["batch_stats"]["BatchNorm_0"]["mean"], before)


def test_accumulation_is_the_whole_batch():
  whole, step = setup(Net(norm=False), optax.sgd(0.1, momentum=0.9))
  parts, step_in_parts = setup(Net(norm=False), optax.sgd(0.1, momentum=0.9), accumulate=4)
  for k in range(3):
    whole, logs = step(whole, batch(seed=k))
    parts, logs_of_parts = step_in_parts(parts, batch(seed=k))
  for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts)):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(logs["loss"][0], logs_of_parts["loss"][0], rtol=1e-5)
  np.testing.assert_allclose(logs["accuracy"][1], logs_of_parts["accuracy"][1])


def test_accumulation_by_hand():
  """Each part has its own dropout, and leaves its batch statistics to the next."""
  model, parts = Net(dropout=0.5), 2
  now, step = setup(model, optax.sgd(0.1), accumulate=parts)
  after, logs = step(now, batch())
  _, dropout, sample = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 3)
  variables, params = now.variables, now.variables["params"]

  def loss(params, statistics, part, index):
    rngs = {"dropout": dropout, "sample": sample}
    rngs = {name: jax.random.fold_in(key, index) for name, key in rngs.items()}
    outputs, changed = model.apply(
      {"params": params, "batch_stats": statistics},
      part["image"],
      train=True,
      rngs=rngs,
      mutable=["batch_stats"],
    )
    return task.loss(outputs, part)[0], changed["batch_stats"]

  statistics, grads, values = variables["batch_stats"], [], []
  gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
  for index in range(parts):
    part = {key: value[index::parts] for key, value in batch().items()}
    (value, statistics), grad = gradient(params, statistics, part, index)
    grads.append(grad)
    values.append(value)
  want = jax.tree.map(lambda p, a, b: p - 0.1 * (a + b) / 2, params, *grads)
  wanted = {"params": want, "batch_stats": statistics}
  assert jax.tree.structure(after.variables) == jax.tree.structure(wanted)
  for a, b in zip(jax.tree.leaves(after.variables), jax.tree.leaves(wanted)):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  assert logs["loss"][0] / logs["loss"][1] == pytest.approx(np.mean(values), rel=1e-5)


def test_dropout_follows_seed_and_step():
  now, step = setup(Net(norm=False, dropout=0.5), optax.sgd(0.0))
  one, first = step(now, batch())
  _, again = step(now, batch())
  _, second = step(one, batch())
  assert first["loss"][0] == again["loss"][0]
  assert first["loss"][0] != second["loss"][0]


def test_average_of_variables():
  now, step = setup(Net(), optax.sgd(0.1), ema=0.99)
  average, early = now.ema, 0.0
  for k in range(4):
    now, _ = step(now, batch(seed=k))
    decay = min(0.99, (1 + k) / (10 + k))
    average = jax.tree.map(lambda a, v, d=decay: d * a + (1 - d) * v, average, now.variables)
    early = max(early, decay)
  assert early < 0.99  # the average forgets its start
  assert set(now.ema) == {"params", "batch_stats"}
  for a, b in zip(jax.tree.leaves(now.ema), jax.tree.leaves(average)):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_lookahead_goes_back_to_a_slow_average():
  """Every third step; what the average keeps grows with the cube of the part that is done."""
  options = dict(ema=0.8, lookahead=3, steps=8)
  now, step = setup(Net(), optax.sgd(0.1, momentum=0.9), **options)
  plain, plain_step = setup(Net(), optax.sgd(0.1, momentum=0.9))
  close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
  slow = now.ema
  for k in range(1, 9):
    now, _ = step(now, batch(seed=k))
    plain, _ = plain_step(plain, batch(seed=k))
    if k % 3 == 0:
      keep = 0.8 * (k / 8) ** 3
      slow = jax.tree.map(lambda a, v, d=keep: d * a + (1 - d) * v, slow, plain.variables)
      plain = replace(plain, variables=slow)  # and its momentum stays
    jax.tree.map(close, now.ema, slow)
    jax.tree.map(close, now.variables, plain.variables)
  assert set(now.ema) == {"params", "batch_stats"}
  moved = jax.tree.map(lambda a, v: np.abs(a - v).max() > 1e-3, now.ema, now.variables)
  assert moved["params"]["Dense_0"]["kernel"]  # two steps since then
