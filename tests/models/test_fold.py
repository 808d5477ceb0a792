"""Networks with their batch norms folded have the same outputs."""

import copy
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.layers import BatchNorm, Conv, ConvNorm
from cnnjax.models.classification.airbench import Airbench
from cnnjax.models.classification.densenet import DenseNet
from cnnjax.models.classification.googlenet import Inception, Normed
from cnnjax.models.classification.mobilenet import InvertedResidual, Separable
from cnnjax.models.classification.resnet import BasicBlock, Bottleneck, ResNet
from cnnjax.models.classification.vgg import VGG
from cnnjax.models.zoo import ZOO


class Units(nn.Module):
  """The units of several networks after each other: images [B, H, W, 3] -> a map."""

  @nn.compact
  def __call__(self, x, *, train):
    x = ConvNorm(16, 3, 2, 1, name="stem")(x, train=train)
    x = Separable(24, 2, name="separable")(x, train=train)
    x = InvertedResidual(2, 24, name="inverted")(x, train=train)
    x = ConvNorm(24, 3, 1, 1, groups=4, activation=nn.leaky_relu, name="grouped")(x, train=train)
    return Inception((4, 4, 8, 4, 8, 4), Normed, name="inception")(x, train=train)


class Readers(nn.Module):
  """Norms that cannot be folded, and one that is called twice."""

  @nn.compact
  def __call__(self, x, *, train):
    y = Conv(3, 3, padding=1, name="read_twice")(x)
    x = x + y + BatchNorm(name="stays")(y, train=train)
    conv = Conv(3, 3, padding=1, name="shared")
    x = BatchNorm(name="one")(conv(x), train=train) + BatchNorm(name="other")(conv(x), train=train)
    conv, norm = Conv(3, 1, name="again"), BatchNorm(name="folds")
    x = norm(conv(norm(conv(x), train=train)), train=train)
    return BatchNorm(name="last")(nn.relu(x), train=train)


NETS = {  # with the share of norms that folds
  "units": (Units(), 1),
  "vgg": (VGG((1, 2, 0, 0, 0), norm=True).make_trunk(), 1),
  "resnet": (ResNet((1, 1), Bottleneck).make_trunk(), 1),
  "seresnet": (ResNet((1, 1), partial(BasicBlock, squeeze=16)).make_trunk(), 1),
  "densenet": (DenseNet((2, 1), 8, num_classes=5), 4 / 9),
  "airbench": (Airbench(widths=(4, 8, 8)), 1 / 2),  # no scales; the first norms follow a pool
  "readers": (Readers(), 1 / 5),
}
WHOLE = (  # of the zoo: name, norms that fold, all
  ("resnet18", 20, 20),
  ("googlenet", 59, 59),
  ("mobilenet_v2", 52, 52),
  ("vgg11_bn", 8, 8),
  ("densenet121", 59, 121),
)


def random_variables(model, x):
  """Returns values for all variables that keep activations near one."""
  rng = np.random.default_rng(0)

  def value(path, leaf):
    if path[-1].key == "kernel":
      return rng.normal(0, (2 / np.prod(leaf.shape[:-1])) ** 0.5, leaf.shape).astype(np.float32)
    least = 0.5 if path[-1].key in ("scale", "var") else -0.5
    return rng.uniform(least, least + 1, leaf.shape).astype(np.float32)

  shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
  return jax.tree_util.tree_map_with_path(value, shapes)


def norms(variables):
  return len(jax.tree.leaves(variables.get("batch_stats", {}))) // 2


@pytest.mark.parametrize("name", NETS)
def test_outputs_are_the_same(name):
  (model, share), x = NETS[name], np.random.default_rng(1).normal(size=(2, 32, 32, 3))
  x = x.astype(np.float32)
  variables = random_variables(model, x)
  before = copy.deepcopy(variables)
  served, lighter = cnnjax.fold(model, variables, x)
  jax.tree.map(np.testing.assert_array_equal, variables, before)
  assert len(served.norms) == round(share * norms(variables))
  assert norms(lighter) == norms(variables) - len(served.norms)

  @jax.jit
  def both(variables, lighter, x):
    return model.apply(variables, x, train=False), served.apply(lighter, x, train=False)

  want, found = both(variables, lighter, x)
  assert jax.tree.structure(want) == jax.tree.structure(found)
  for a, b in zip(jax.tree.leaves(want), jax.tree.leaves(found)):
    assert np.ptp(a) > 0.1
    np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * np.abs(a).max())


@pytest.mark.parametrize(("name", "folded", "all_norms"), WHOLE)
def test_norms_of_the_zoo(name, folded, all_norms):
  model = cnnjax.create_model(name)
  x = jax.ShapeDtypeStruct((1, *ZOO[name].input), jnp.float32)
  shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
  variables = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(1), leaf.shape), shapes)
  served, lighter = cnnjax.fold(model, variables, x)
  assert (len(served.norms), norms(variables)) == (folded, all_norms)
  assert norms(lighter) == all_norms - folded


def test_a_folded_network_predicts():
  model = cnnjax.create_model("resnet20_cifar")
  variables = random_variables(model, np.zeros((1, 32, 32, 3), np.float32))
  images = np.random.default_rng(0).integers(0, 256, (2, 40, 36, 3), np.uint8)
  want = cnnjax.predict(model, variables, images)
  found = cnnjax.predict(*cnnjax.fold(model, variables), images)
  for a, b in zip(want, found):
    np.testing.assert_allclose(b["probabilities"], a["probabilities"], atol=1e-5)


def test_a_model_without_norms_is_returned_as_it_is():
  model = cnnjax.create_model("lenet5")
  variables = random_variables(model, np.zeros((1, 32, 32, 3), np.float32))
  assert cnnjax.fold(model, variables) == (model, variables)


def test_wrong_use_is_a_user_error():
  x = np.zeros((1, 32, 32, 3), np.float32)
  model = VGG((1, 0, 0, 0, 0), norm=True).make_trunk()
  variables = random_variables(model, x)
  with pytest.raises(UserError, match="Trunk states no input size; give an example of its input"):
    cnnjax.fold(model, variables)
  served, lighter = cnnjax.fold(model, variables, x)
  with pytest.raises(UserError, match="a folded network cannot train"):
    served.apply(lighter, x, train=True)
  with pytest.raises(UserError, match="norm1_1 was folded, but is among the variables"):
    jax.eval_shape(lambda v, x: served.apply(v, x, train=False), variables, x)
  assert copy.copy(served) == served and hash(copy.copy(served)) == hash(served)
