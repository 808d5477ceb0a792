"""FCNs: scores lie where their pixels are, and upsampling begins bilinear."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.layers import AvgPool
from cnnjax.models.segmentation.fcn import FCN, FCN8S, FCN16S, FCN32S, bilinear
from cnnjax.ops.conv_transpose import conv_transpose
from cnnjax.ops.resize import resize


class Means(nn.Module):
  """A classifier whose trunk's maps are the means of the image's squares."""

  def make_trunk(self):
    return self

  @nn.compact
  def __call__(self, x, *, train):
    maps = {}
    for n in range(1, 6):
      x = maps[f"pool{n}"] = AvgPool(2)(x)
    return maps


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("taken, scored", [
  (FCN32S, "pool5"), (FCN16S, "pool5"), (FCN8S, "pool5"),
  (FCN16S, "pool4"), (FCN8S, "pool4"), (FCN8S, "pool3"),
])  # fmt: skip
def test_a_ramp_comes_back_where_it_was(taken, scored, padded):
  """Means of a ramp lie on it, and so does what is interpolated between them."""
  model = FCN(Means(), taken, hidden=1, padded=padded, num_classes=1)
  down, across = np.mgrid[:256, :320].astype(np.float32)
  x = (100 + 2 * down + across)[None, ..., None]
  params = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)["params"]
  params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), params)
  params["fc6"]["kernel"][3, 3] = 1.0  # the window's middle alone
  params["fc7"]["kernel"][:] = 1.0
  params[f"score_{scored}"]["kernel"][:] = 1.0
  for name in taken[1:]:
    params[f"up_{name}"]["transposed"] = bilinear(None, (4, 4, 1, 1))
  found = jax.jit(partial(model.apply, train=False))({"params": params}, x)["logits"]
  assert found.shape == x.shape
  middle = (0, slice(64, -64), slice(64, -64))  # what the zeros around the image do not reach
  np.testing.assert_allclose(found[middle], x[middle], atol=1e-2)


def test_the_upsampling_begins_bilinear():
  x = np.random.default_rng(0).normal(size=(1, 5, 6, 3)).astype(np.float32)
  up = conv_transpose(x, bilinear(None, (4, 4, 3, 3)), strides=2, padding=1)
  inside = (0, slice(1, -1), slice(1, -1))
  np.testing.assert_allclose(up[inside], resize(x, (10, 12))[inside], atol=1e-6)
  line = bilinear(None, (3, 3, 1, 1))[1, :, 0, 0]
  np.testing.assert_allclose(line, [0.5, 1, 0.5])  # of an odd window


@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s"])
def test_logits_at_any_images_size(name):
  model = cnnjax.create_model(name, trunk="vgg11", hidden=8, num_classes=3)
  for padded, size in ((True, (65, 100)), (False, (65, 100)), (True, (224, 224))):
    x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    init = partial(model.clone(padded=padded).init_with_output, train=False)
    assert jax.eval_shape(init, jax.random.key(0), x)[0]["logits"].shape == (1, *size, 3)


def test_another_trunk_names_its_maps():
  options = dict(trunk="resnet18", hidden=8)
  x = jax.ShapeDtypeStruct((1, 70, 90, 3), jnp.float32)

  def shape(model):
    init = partial(model.init_with_output, train=False)
    return jax.eval_shape(init, jax.random.key(0), x)[0]["logits"].shape

  model = cnnjax.create_model("fcn8s", taken=("stage4", "stage3", "stage2"), **options)
  assert shape(model) == (1, 70, 90, 21)
  with pytest.raises(UserError, match="unknown map of the trunk 'pool5'.*stage1"):
    shape(cnnjax.create_model("fcn8s", **options))
