"""I3D: an inflated network sees in a still clip what the network of images sees."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.checkpoints import export, files
from cnnjax.models.classification.alexnet import ALEXNET_2012, AlexNet
from cnnjax.models.classification.densenet import DenseNet
from cnnjax.models.classification.i3d import I3D, inflate
from cnnjax.models.classification.mobilenet import MobileNetV1
from cnnjax.models.classification.resnet import BasicBlock, ResNet
from cnnjax.models.classification.vgg import VGG
from cnnjax.models.zoo import ZOO

TRUNKS = {  # valid and padded windows, ones with ceil, depthwise ones, means, gates
  "alexnet": AlexNet(ALEXNET_2012),
  "densenet": DenseNet((1, 1, 1, 1), growth_rate=4),
  "mobilenet": MobileNetV1(width=0.1),
  "seresnet": ResNet((1, 1, 1, 1), partial(BasicBlock, squeeze=16)),
  "vgg": VGG((1, 1, 1, 1, 1), norm=True, ceil=True),
}


def random_like(shapes):
  rng = np.random.default_rng(0)

  def leaf(one):
    if len(one.shape) == 1:
      return rng.uniform(0.5, 1, one.shape).astype(np.float32)
    return np.float32(rng.normal(size=one.shape) / math.prod(one.shape[:-1]) ** 0.5)

  return jax.tree.map(leaf, shapes)


def shapes(model, x):
  return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)


@pytest.mark.parametrize("name", TRUNKS)
def test_a_still_clip_gives_what_its_frame_gives(name):
  images, clips = TRUNKS[name], I3D(TRUNKS[name], num_classes=3)
  side = 67 if name == "alexnet" else 32
  x = np.random.default_rng(1).normal(size=(1, side, side, 3)).astype(np.float32)
  still = np.repeat(x[:, None], 5, 1)
  trunk = {key: part["trunk"] for key, part in shapes(images, x).items()}
  wanted = {key: part["trunk"] for key, part in shapes(clips, still).items()}
  trunk = random_like(trunk)
  deep = inflate(trunk)
  assert jax.tree.map(jnp.shape, deep) == jax.tree.map(jnp.shape, wanted)
  deep = {key: {"trunk": part} for key, part in deep.items()}
  deep["params"]["head"] = random_like(shapes(clips, still)["params"]["head"])

  @jax.jit
  def both(trunk, deep, x, still):
    keep = dict(capture_intermediates=lambda m, _: m.name == "trunk", mutable=["intermediates"])
    _, seen = clips.apply(deep, still, train=False, **keep)
    return images.make_trunk().apply(trunk, x, train=False), seen["intermediates"]["trunk"]

  flat, inflated = both(trunk, deep, x, still)
  (inflated,) = inflated["__call__"]
  assert set(flat) == set(inflated)
  for key, of_frame in flat.items():
    assert np.ptp(of_frame) > 0
    assert np.abs(inflated[key] - of_frame[:, None]).max() < 1e-5 * np.abs(of_frame).max(), key


def test_time_is_halved_where_the_paper_halves_it():
  rows = {row.layer: row.output for row in cnnjax.summarize("i3d").rows}
  assert rows["trunk/conv1/conv"] == (32, 112, 112, 64)  # figure 3, of 64 frames
  assert rows["trunk/pool1"] == (32, 56, 56, 64) and rows["trunk/pool2"] == (32, 28, 28, 192)
  assert rows["trunk/pool3"] == (16, 14, 14, 480) and rows["trunk/pool4"] == (8, 7, 7, 832)
  assert len(rows) == len(cnnjax.summarize("i3d").rows)  # each layer once


def test_weights_of_images_are_inflated_when_they_are_loaded(tmp_path):
  """The trunk of a file of another library, and of a run of ours, goes into a network of clips."""
  arguments = dict(num_classes=3, width=0.25)
  images = cnnjax.create_model("mobilenet_v2", **arguments)
  variables = random_like(shapes(images, np.zeros((1, *ZOO["mobilenet_v2"].input), np.float32)))
  export(images, variables, tmp_path / "images.safetensors")
  given = dict(trunk="mobilenet_v2", trunk_arguments=dict(width=0.25), num_classes=5)
  found = cnnjax.load_pretrained("i3d", tmp_path / "images.safetensors", trunk_only=True, **given)
  want = inflate(variables)["params"]["trunk"]
  assert jax.tree.all(jax.tree.map(np.array_equal, found["params"]["trunk"], want))
  kernel = found["params"]["trunk"]["stem"]["conv"]["kernel"]
  stem = variables["params"]["trunk"]["stem"]["conv"]["kernel"]
  np.testing.assert_allclose(kernel.sum(0), stem, rtol=1e-6)
  assert found["params"]["head"]["fc"]["kernel"].shape[-1] == 5
  assert files.read(tmp_path / "images.safetensors")  # and is as it was


def test_a_clip_of_one_frame_and_of_many():
  model = cnnjax.create_model("i3d", trunk="resnet18", num_classes=3)
  for frames in (1, 9):
    x = jax.ShapeDtypeStruct((1, frames, 32, 32, 1), jnp.float32)
    outputs = jax.eval_shape(
      lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0], x
    )
    assert outputs["logits"].shape == (1, 3)
