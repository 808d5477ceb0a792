"""One table of tests over every model of the zoo."""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.models.zoo import ZOO

CLASSIFIERS = cnnjax.list_models("classification")
SMALL = [name for name in CLASSIFIERS if ZOO[name].parameters < 1e5]  # computed, not only traced
DEEPER = (  # differ from a shallower one by numbers of blocks only: counted, not traced again
  "vgg13 vgg19 vgg11_bn vgg13_bn vgg19_bn resnet34 resnet101 resnet152 resnet32_cifar "
  "resnet32_cifar_b resnet44_cifar_b resnet56_cifar_b "
  "resnet44_cifar resnet56_cifar resnet110_cifar plain56_cifar seresnet34 seresnet101 seresnet152 "
  "densenet161 densenet169 densenet201"
).split()
COUNTED = {  # other sizes of a family: name, arguments, published parameters, their source
  ("mobilenet_v1", 0.75): 2_585_560,
  ("mobilenet_v1", 0.5): 1_331_592,
  ("mobilenet_v1", 0.25): 470_072,
}


def example(name):
  return jax.ShapeDtypeStruct((2, *ZOO[name].input), jnp.float32)


def shapes(model, x):
  """Returns the shapes of a model's variables."""
  return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)


@cache
def traced(name):
  """Returns the shapes of variables, trunk maps and outputs, and of outputs in training.

  With seven classes, computed in bfloat16.
  """
  model = cnnjax.create_model(name, num_classes=7, dtype="bfloat16")

  def run(x, key):
    everything = dict(mutable=True, capture_intermediates=True)
    outputs, variables = model.init_with_output(key, x, train=False, **everything)
    maps = variables.pop("intermediates").get("trunk", {"__call__": [{}]})["__call__"][0]
    rngs = {"dropout": key, "sample": key}
    train, _ = model.apply(variables, x, train=True, rngs=rngs, mutable=["batch_stats"])
    return variables, maps, outputs, train

  return jax.eval_shape(run, example(name), jax.random.key(0))


def weight(leaf):
  """Returns values for a leaf that keep activations alive, without compiling an init."""
  if len(leaf.shape) == 1:
    return np.full(leaf.shape, 0.5, np.float32)
  values = np.random.default_rng(leaf.shape).normal(size=leaf.shape)
  return np.float32(values / math.prod(leaf.shape[:-1]) ** 0.5)


def count(params):
  return sum(math.prod(p.shape) for p in jax.tree.leaves(params))


@pytest.mark.parametrize("name", ZOO)
def test_parameters_are_the_published_number(name):
  params = shapes(cnnjax.create_model(name), example(name))["params"]
  assert count(params) == ZOO[name].parameters


def test_parameters_of_other_sizes_and_without_groups():
  """Those of GoogLeNet without auxiliary heads are counted in the comparison's test."""
  for (name, width), number in COUNTED.items():
    assert count(shapes(cnnjax.create_model(name, width=width), example(name))["params"]) == number
  joined = cnnjax.create_model("alexnet_2012", towers=False)  # the deck's table has no groups
  assert count(shapes(joined, example("alexnet_2012"))["params"]) == 62_378_344


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name not in DEEPER])
def test_a_classifier_keeps_its_contract(name):
  variables, maps, outputs, train = traced(name)
  assert outputs["logits"].shape == (2, 7) and outputs["logits"].dtype == jnp.float32
  assert train == outputs  # what comes out does not depend on the mode
  assert {aux.shape for aux in outputs.get("aux", {}).values()} <= {(2, 7)}
  assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
  assert "head" in variables["params"]
  if name != "logistic":  # one layer, all head
    assert "trunk" in variables["params"] and maps
    assert {m.dtype for m in maps.values()} == {jnp.dtype("bfloat16")}


STAGES = {  # course/004's tables, and the papers': (height, channels) of the named maps
  "alexnet_2012": dict(conv1=(55, 96), conv2=(27, 256), conv3=(13, 384), conv4=(13, 384),
                       conv5=(13, 256), pool5=(6, 256)),
  "vgg16": dict(stage1=(224, 64), pool1=(112, 64), stage2=(112, 128), pool2=(56, 128),
                stage3=(56, 256), pool3=(28, 256), stage4=(28, 512), pool4=(14, 512),
                stage5=(14, 512), pool5=(7, 512)),
  "googlenet_2014": dict(conv1=(112, 64), conv2=(56, 192), inception3a=(28, 256),
                         inception3b=(28, 480), inception4a=(14, 512), inception4b=(14, 512),
                         inception4c=(14, 512), inception4d=(14, 528), inception4e=(14, 832),
                         inception5a=(7, 832), inception5b=(7, 1024)),
  "resnet50": dict(stem=(112, 64), stage1=(56, 256), stage2=(28, 512), stage3=(14, 1024),
                   stage4=(7, 2048)),
}  # fmt: skip
STAGES["googlenet"] = STAGES["googlenet_2014"]


@pytest.mark.parametrize("name", STAGES)
def test_stages_have_the_sizes_of_the_tables(name):
  maps = traced(name)[1]
  assert {k: (m.shape[1], m.shape[3]) for k, m in maps.items()} == STAGES[name]
  assert all(m.shape[1] == m.shape[2] for m in maps.values())


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "densenet121", "mobilenet_v1", "googlenet"])
def test_any_size_and_any_channels(name):
  model = cnnjax.create_model(name, num_classes=3)
  x = jax.ShapeDtypeStruct((1, 75, 50, 5), jnp.float32)
  outputs = jax.eval_shape(
    lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0], x
  )
  assert outputs["logits"].shape == (1, 3)


@pytest.mark.parametrize("name", SMALL)
def test_train_must_be_said(name):
  model, x = cnnjax.create_model(name), example(name)
  with pytest.raises(TypeError, match="train"):
    jax.eval_shape(lambda x: model.init(jax.random.key(0), x), x)
  with pytest.raises(TypeError, match="train"):
    jax.eval_shape(model.apply, shapes(model, x), x)


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
  "name, shape, sentence",
  [
    ("lenet5", (28, 32, 3), "lenet5 needs images of at least 32x32, found 28x32"),
    ("lenet5_1998", (33, 32, 1), "lenet5_1998 needs images of 32x32, found 33x32"),
    ("alexnet_2012", (66, 80, 3), "at least 67x67, found 66x80"),
    ("alexnet", (62, 80, 3), "at least 63x63, found 62x80"),
    *((name, (31, 40, 3), "at least 32x32, found 31x40") for name in (
      "vgg11", "googlenet", "resnet18", "seresnet18", "legacy_senet154", "densenet121",
      "mobilenet_v1", "mobilenet_v2")),
    ("resnet20_cifar", (7, 9, 3), "at least 8x8, found 7x9"),
    ("airbench94", (8, 9, 3), "at least 9x9, found 8x9"),
    ("lecture_cnn", (3, 9, 1), "at least 4x4, found 3x9"),
    ("tumor_net", (9, 9, 1), "at least 10x10, found 9x9"),
    ("local_net", (11, 12, 1), "at least 12x12, found 11x12"),
  ],
)  # fmt: skip
def test_an_image_of_the_wrong_size_is_a_user_error(name, shape, sentence):
  with pytest.raises(UserError, match=sentence):
    shapes(cnnjax.create_model(name), jax.ShapeDtypeStruct((1, *shape), jnp.float32))


@pytest.mark.parametrize(
  "name", ["alexnet", "alexnet_2012", "lecture_cnn", "tumor_net", "local_net", "airbench94"]
)
def test_the_least_size_is_enough(name):
  least = {"alexnet": 63, "alexnet_2012": 67, "lecture_cnn": 4, "tumor_net": 10, "local_net": 12,
           "airbench94": 9}  # fmt: skip
  x = jax.ShapeDtypeStruct((1, least[name], least[name], 3), jnp.float32)
  leaves = jax.tree.leaves(shapes(cnnjax.create_model(name), x))
  assert all(math.prod(leaf.shape) for leaf in leaves)


def test_other_channels_than_the_variables_are_a_user_error():
  model = cnnjax.create_model("resnet20_cifar")
  variables = shapes(model, example("resnet20_cifar"))
  grey = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
  with pytest.raises(UserError, match="trunk/stem/conv was made for 3 channels, .* has 1"):
    jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, grey)
