"""One table of tests over every model of the zoo."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.models.zoo import ZOO

CLASSIFIERS = cnnjax.list_models("classification")
SMALL = [name for name in CLASSIFIERS if ZOO[name].parameters < 1e6]  # computed, not only traced


def example(name):
  return jax.ShapeDtypeStruct((2, *ZOO[name].input), jnp.float32)


def shapes(model, x):
  """Returns the shapes of a model's variables."""
  return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)


def outputs(model, x, train):
  """Returns the shapes of a model's outputs."""

  def run(variables, x, key):
    rngs = {"dropout": key, "sample": key}
    found, _ = model.apply(variables, x, train=train, rngs=rngs, mutable=["batch_stats"])
    return found

  return jax.eval_shape(run, shapes(model, x), x, jax.random.key(1))


def weight(leaf):
  """Returns values for a leaf that keep activations alive, without compiling an init."""
  if len(leaf.shape) == 1:
    return np.full(leaf.shape, 0.5, np.float32)
  values = np.random.default_rng(leaf.shape).normal(size=leaf.shape)
  return np.float32(values / math.prod(leaf.shape[:-1]) ** 0.5)


@pytest.mark.parametrize("name", ZOO)
def test_parameters_are_the_published_number(name):
  params = shapes(cnnjax.create_model(name), example(name))["params"]
  assert sum(math.prod(p.shape) for p in jax.tree.leaves(params)) == ZOO[name].parameters


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_logits_have_a_value_for_each_class(name):
  found = outputs(cnnjax.create_model(name, num_classes=7), example(name), train=False)
  assert isinstance(found, dict) and found["logits"].shape == (2, 7)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_what_comes_out_does_not_depend_on_train(name):
  model = cnnjax.create_model(name, num_classes=7)
  assert outputs(model, example(name), True) == outputs(model, example(name), False)


@pytest.mark.parametrize("name", ZOO)
def test_train_must_be_said(name):
  model, x = cnnjax.create_model(name), example(name)
  with pytest.raises(TypeError, match="train"):
    jax.eval_shape(lambda x: model.init(jax.random.key(0), x), x)
  with pytest.raises(TypeError, match="train"):
    jax.eval_shape(model.apply, shapes(model, x), x)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_is_a_trunk_and_a_head(name):
  model, x = cnnjax.create_model(name), example(name)
  assert {"trunk", "head"} <= set(shapes(model, x)["params"])
  _, state = jax.eval_shape(
    lambda v, x: model.apply(v, x, train=False, capture_intermediates=True), shapes(model, x), x
  )
  (maps,) = state["intermediates"]["trunk"]["__call__"]
  assert isinstance(maps, dict) and all(m.shape[0] == 2 for m in maps.values())


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_bfloat16_is_computed_in_and_float32_kept(name):
  model, x = cnnjax.create_model(name, dtype="bfloat16"), example(name)
  assert {p.dtype for p in jax.tree.leaves(shapes(model, x))} == {jnp.dtype("float32")}
  found, state = jax.eval_shape(
    lambda v, x: model.apply(v, x, train=False, capture_intermediates=True), shapes(model, x), x
  )
  (maps,) = state["intermediates"]["trunk"]["__call__"]
  assert {m.dtype for m in maps.values()} == {jnp.dtype("bfloat16")}
  assert found["logits"].dtype == jnp.float32


@pytest.mark.parametrize("name", SMALL)
def test_logits_in_bfloat16_are_near_those_in_float32(name):
  x = np.random.default_rng(0).normal(size=example(name).shape).astype(np.float32)
  exact, half = cnnjax.create_model(name), cnnjax.create_model(name, dtype="bfloat16")
  variables = jax.tree.map(weight, shapes(exact, x))

  @jax.jit
  def both(variables, x):
    return [m.apply(variables, x, train=False)["logits"] for m in (exact, half)]

  exact, half = both(variables, x)
  assert np.isfinite(half).all() and np.ptp(exact) > 0
  np.testing.assert_allclose(half, exact, atol=0.05 * np.ptp(exact))


@pytest.mark.parametrize("name", ZOO)
def test_the_example_input_is_what_preprocessing_makes(name):
  made = cnnjax.create_model(name).preprocessing.shape
  assert made is None or made == ZOO[name].input


@pytest.mark.parametrize("name", ZOO)
def test_models_compare_and_hash_by_their_arguments(name):
  assert cnnjax.create_model(name) == cnnjax.create_model(name)
  assert hash(cnnjax.create_model(name)) == hash(cnnjax.create_model(name))
  assert cnnjax.create_model(name) != cnnjax.create_model(name, dtype="bfloat16")


def test_list_of_models():
  assert cnnjax.list_models() == list(ZOO)
  assert "lenet5" in CLASSIFIERS
  assert cnnjax.list_models("origami") == []


def test_unknown_name_is_answered_with_the_nearest():
  with pytest.raises(UserError, match="'lenet'.*did you mean .*lenet5"):
    cnnjax.create_model("lenet")
  with pytest.raises(UserError, match="known: .*lenet5"):
    cnnjax.create_model("zzz")


@pytest.mark.parametrize("argument", [dict(width=3), dict(dtype="float33")])
def test_wrong_argument_is_a_user_error(argument):
  with pytest.raises(UserError, match="model lenet5: .*width|unknown dtype .float33."):
    cnnjax.create_model("lenet5", **argument)


@pytest.mark.parametrize(
  "name, shape", [("lenet5", (1, 28, 32, 3)), ("lenet5_1998", (1, 33, 32, 1))]
)
def test_an_image_of_the_wrong_size_is_a_user_error(name, shape):
  model = cnnjax.create_model(name)
  with pytest.raises(UserError, match=f"{name} needs.*32x32, found {shape[1]}x32"):
    shapes(model, jax.ShapeDtypeStruct(shape, jnp.float32))
