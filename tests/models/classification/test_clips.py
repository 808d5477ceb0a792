"""The networks of clips and volumes: C3D, R3D, MC3 and R(2+1)D."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.checkpoints.port import namings, translate
from cnnjax.errors import UserError
from cnnjax.models.zoo import ZOO

NAMES = ("c3d", "r3d_18", "mc3_18", "r2plus1d_18")


def maps_of(name, *shape, **arguments):
  """Returns the shapes of a trunk's maps."""
  model = cnnjax.create_model(name, **arguments)
  keep = dict(train=False, mutable=True, capture_intermediates=True)
  x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
  seen = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, **keep)[1], x)
  (maps,) = seen["intermediates"]["trunk"]["__call__"]
  return {key: one.shape[1:] for key, one in maps.items()}


def test_maps_of_the_papers():
  c3d = maps_of("c3d", *ZOO["c3d"].input)  # arXiv:1412.0767, figure 3
  assert c3d["conv1a"] == (16, 112, 112, 64) and c3d["conv5b"] == (2, 7, 7, 512)
  assert c3d["pool5"] == (1, 4, 4, 512)
  full = {"stem": (16, 56, 56, 64), "stage1": (16, 56, 56, 64), "stage2": (8, 28, 28, 128)}
  full |= {"stage3": (4, 14, 14, 256), "stage4": (2, 7, 7, 512)}  # arXiv:1711.11248, table 1
  assert maps_of("r3d_18", 16, 112, 112, 3) == full == maps_of("r2plus1d_18", 16, 112, 112, 3)
  mixed = maps_of("mc3_18", 16, 112, 112, 3)
  assert {key: (16, *one[1:]) for key, one in full.items()} == mixed


@pytest.mark.parametrize("name", NAMES)
def test_volumes_of_one_channel_and_any_size(name):
  assert maps_of(name, 35, 51, 40, 1, num_classes=2)
  model = cnnjax.create_model(name, num_classes=2)
  x = jax.ShapeDtypeStruct((3, 5, 33, 40, 1), jnp.float32)
  made = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, train=False), x)
  assert made[0]["logits"].shape == (3, 2)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_no_clip(name):
  with pytest.raises(UserError, match=r"needs clips of at least 1x1x1, found an array of shape"):
    maps_of(name, 32, 32, 3)


def test_small_ones_by_their_fields():
  small = maps_of("r3d_18", 8, 32, 32, 1, width=4, depths=(1, 1))
  assert set(small) == {"stem", "stage1", "stage2"}


def test_multiply_adds_are_torchvisions():
  for name, giga in (("r3d_18", 40.697), ("mc3_18", 43.343), ("r2plus1d_18", 40.519)):
    assert cnnjax.summarize(name).multiply_adds / 1e9 == pytest.approx(giga, abs=1e-3)


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_layer_has_one_name(name):
  model = cnnjax.create_model(name)
  x = jax.ShapeDtypeStruct((1, *ZOO[name].input), np.float32)
  made = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
  layers = {"/".join(key.key for key in path[1:-1]) for path, _ in jax.tree.leaves_with_path(made)}
  (names,) = namings(model).values()
  theirs = [translate(layer, names) for layer in layers]
  assert None not in theirs and len(set(theirs)) == len(layers)
