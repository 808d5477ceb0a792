"""The contract of every segmentation network of the zoo, and dilated trunks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.models.classification.resnet import BasicBlock, Bottleneck, ResNet
from cnnjax.models.zoo import ZOO

NAMES = cnnjax.list_models("segmentation")


@pytest.mark.parametrize("name", NAMES)
def test_a_segmenter_keeps_its_contract(name):
  model = cnnjax.create_model(name, num_classes=7, dtype="bfloat16")
  x = jax.ShapeDtypeStruct((2, *ZOO[name].input), jnp.float32)

  def run(x, key):
    outputs, variables = model.init_with_output(key, x, train=False)
    train, _ = model.apply(variables, x, train=True, rngs={"dropout": key}, mutable=["batch_stats"])
    return outputs, variables, train

  outputs, variables, train = jax.eval_shape(run, x, jax.random.key(0))
  size = (2, 388, 388) if name == "unet_2015" else x.shape[:-1]
  assert {leaf.shape for leaf in jax.tree.leaves(outputs)} == {(*size, 7)}
  assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {jnp.dtype("float32")}
  assert train == outputs  # what comes out does not depend on the mode
  assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
  assert "trunk" in variables["params"] and model.task == "segmentation"


@pytest.mark.parametrize("name", NAMES)
def test_a_summary_counts_every_parameter(name):
  summary = cnnjax.summarize(name)
  assert summary.parameters == ZOO[name].parameters
  assert "outside of layers" not in [row.layer for row in summary.rows]


def test_any_trunk_under_deeplabs_head():
  for trunk in ("resnet18", "mobilenet_v2", "vgg11"):
    model = cnnjax.create_model("deeplabv3_resnet50", trunk=trunk, num_classes=3)
    init = partial(model.init_with_output, train=False)
    x = jax.ShapeDtypeStruct((1, 70, 90, 3), jnp.float32)
    outputs, _ = jax.eval_shape(init, jax.random.key(0), x)
    assert outputs["logits"].shape == outputs["aux"]["aux"].shape == (1, 70, 90, 3)


@pytest.mark.parametrize(
  "stride, sides", [(4, (16, 16, 16, 16)), (8, (16, 8, 8, 8)), (16, (16, 8, 4, 4))]
)
def test_a_dilated_trunk_has_the_same_parameters_and_larger_maps(stride, sides):
  x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)

  def trunk(**arguments):
    model = cnnjax.create_model("resnet18", **arguments).make_trunk()
    return jax.eval_shape(partial(model.init_with_output, train=False), jax.random.key(0), x)

  maps, variables = trunk(output_stride=stride)
  assert tuple(maps[f"stage{n}"].shape[1] for n in (1, 2, 3, 4)) == sides
  assert variables == trunk()[1]


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_the_pixels_of_a_strided_trunk_are_among_those_of_a_dilated_one(block):
  x = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
  strided, dilated = (ResNet((1, 1, 1, 2), block, output_stride=n).make_trunk() for n in (32, 8))
  shapes = jax.eval_shape(partial(strided.init, train=False), jax.random.key(0), x)
  rng = np.random.default_rng(1)
  variables = jax.tree.map(lambda s: rng.uniform(0.1, 1, s.shape).astype(np.float32), shapes)
  small, large = jax.jit(lambda v, x: [m.apply(v, x, train=False) for m in (strided, dilated)])(
    variables, x
  )
  for stage, step in (("stage2", 1), ("stage3", 2), ("stage4", 4)):
    want = np.asarray(small[stage])
    assert np.ptp(want) > 0.1 * np.abs(want).max()
    np.testing.assert_allclose(large[stage][:, ::step, ::step], want, rtol=1e-4)


def test_an_unknown_output_stride_is_a_user_error():
  model = cnnjax.create_model("resnet18", output_stride=12)
  x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  with pytest.raises(UserError, match="output_stride is 4, 8, 16 or 32, found 12"):
    jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
