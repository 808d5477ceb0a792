"""U-Nets against the papers' figures."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError

TINY = dict(widths=(2, 4, 8), num_classes=3)


def traced(model, *shape):
  """Returns the shapes of outputs, trunk maps and parameters."""
  x = jax.ShapeDtypeStruct(shape, jnp.float32)
  init = partial(model.init_with_output, train=False, mutable=True, capture_intermediates=True)
  outputs, variables = jax.eval_shape(init, jax.random.key(0), x)
  maps = variables["intermediates"]["trunk"]["__call__"][0]
  return outputs["logits"].shape, {k: m.shape[1:] for k, m in maps.items()}, variables["params"]


def test_figure_1_row_by_row():
  logits, maps, params = traced(cnnjax.create_model("unet_2015"), 1, 572, 572, 1)
  sides = (568, 280, 136, 64, 28)
  assert list(maps.values()) == [(n, n, c) for n, c in zip(sides, (64, 128, 256, 512, 1024))]
  assert logits == (1, 388, 388, 2)
  ups = [params[f"up{n}"]["transposed"].shape for n in (4, 3, 2, 1)]
  assert ups == [(2, 2, c, c // 2) for c in (1024, 512, 256, 128)]
  assert params["back4"]["conv1"]["kernel"].shape == (3, 3, 1024, 512)
  layers = [p for p, _ in jax.tree_util.tree_leaves_with_path(params) if p[-1].key != "bias"]
  assert len(layers) == 23  # "in total the network has 23 convolutional layers"


def test_the_3_d_papers_figure_and_its_number_of_parameters():
  model = cnnjax.create_model("unet3d", padding="valid", norm="none", num_classes=3)
  logits, maps, params = traced(model, 1, 132, 132, 116, 3)
  assert logits == (1, 44, 44, 28, 3)
  assert [m[-1] for m in maps.values()] == [64, 128, 256, 512]
  assert params["trunk"]["level1"]["conv1"]["kernel"].shape == (3, 3, 3, 3, 32)
  assert params["up3"]["transposed"].shape == (2, 2, 2, 512, 512)
  # Section 3: 19069955, the offset of a norm counted as each convolution's bias, but not its scale.
  assert sum(math.prod(p.shape) for p in jax.tree.leaves(params)) == 19_069_955


@pytest.mark.parametrize("space", [(37, 50), (8, 9), (13, 9, 22)])
@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
def test_same_padding_keeps_any_size_in_any_number_of_dimensions(space, norm):
  name = "unet3d" if len(space) == 3 else "unet"
  logits, _, _ = traced(cnnjax.create_model(name, norm=norm, **TINY), 2, *space, 4)
  assert logits == (2, *space, 3)


def test_coarse_slices_may_be_left_alone():
  """Poolings along some axes alone, as nnU-Net has them for anisotropic volumes."""
  model = cnnjax.create_model("unet3d", pools=((1, 2, 2), (2, 2, 2)), **TINY)
  logits, maps, params = traced(model, 1, 6, 20, 16, 1)
  assert logits == (1, 6, 20, 16, 3)
  assert [m[:3] for m in maps.values()] == [(6, 20, 16), (6, 10, 8), (3, 5, 4)]
  assert params["up1"]["transposed"].shape[:3] == (1, 2, 2)
  with pytest.raises(UserError, match="3 levels has 2 poolings along 3 axes; found the windows"):
    traced(cnnjax.create_model("unet3d", pools=(2, (2, 2)), **TINY), 1, 8, 8, 8, 1)
  with pytest.raises(UserError, match="takes sides such as 4, found 6x3x16"):
    traced(model, 1, 6, 3, 16, 1)


@pytest.mark.parametrize(
  "name", ["resnet18", "vgg11", "mobilenet_v2", "densenet121", "googlenet", "alexnet", "airbench94"]
)
def test_any_trunk_as_encoder(name):
  model = cnnjax.create_model("unet", trunk=name, widths=(4, 4, 8, 8, 16), num_classes=3)
  logits, maps, params = traced(model, 1, 75, 90, 3)
  assert logits == (1, 75, 90, 3)
  ups = sum(key.startswith("up") for key in params)
  sizes = {m[:-1] for m in maps.values() if len(m) == 3}
  assert ups == len(sizes) - ((96, 96) in sizes)  # images are filled up
  assert max(params[f"back{n}"]["conv2"]["kernel"].shape[-1] for n in range(1, ups + 1)) <= 16


@pytest.mark.parametrize(
  "trunk, sides", [("", (4, 7, 8)), ("vgg11", (63, 64, 97)), ("resnet18", (33, 64, 95))]
)
def test_parameters_do_not_depend_on_the_images_size(trunk, sides):
  """A side of 7 is 3 and 1 after pooling, of 97 by strides 49, 25, 13, 7 and 4."""
  model = cnnjax.create_model("unet", **TINY, **(dict(trunk=trunk) if trunk else {}))
  shapes = [jax.tree.map(lambda p: p.shape, traced(model, 1, n, n, 3)[2]) for n in sides]
  assert shapes[0] == shapes[1] == shapes[2]


def test_it_learns_nothing_from_beyond_its_receptive_field_without_padding():
  """The middle of a larger input has the logits of that middle alone."""
  model = cnnjax.create_model("unet", padding="valid", norm="none", **TINY)
  x = np.random.default_rng(0).normal(size=(1, 52, 52, 2)).astype(np.float32)
  variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), x)
  whole = model.apply(variables, x, train=False)["logits"]
  part = model.apply(variables, x[:, 4:48, 4:48], train=False)["logits"]
  assert whole.shape == (1, 12, 12, 3) and part.shape == (1, 4, 4, 3)
  np.testing.assert_allclose(part, whole[:, 4:8, 4:8], atol=1e-5)


@pytest.mark.parametrize(
  "arguments, space, sentence",
  [
    (dict(padding="valid"), (46, 44), "3 levels and padding valid .* as 44 or 48, found 46x44"),
    (dict(padding="valid"), (20, 44), "takes sides such as 44, found 20x44"),
    (dict(), (3, 9), "3 levels and padding same takes sides such as 4, found 3x9"),
    (dict(norm="bach"), (8, 8), "unknown norm of a U-Net 'bach'; did you mean batch"),
    (dict(padding="valud"), (8, 8), "unknown padding of a U-Net 'valud'"),
    (dict(padding="valid", trunk="resnet18"), (64, 64), "without padding has its own trunk"),
  ],
)  # fmt: skip
def test_what_it_cannot_take_is_a_user_error(arguments, space, sentence):
  with pytest.raises(UserError, match=sentence):
    traced(cnnjax.create_model("unet", **TINY, **arguments), 1, *space, 3)


def test_rematerialised_gradients_are_the_same():
  x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
  models = [
    cnnjax.create_model("unet", norm="batch", rematerialise=r, **TINY) for r in (False, True)
  ]
  variables = jax.jit(partial(models[0].init, train=False))(jax.random.key(0), x)

  @partial(jax.jit, static_argnums=0)
  def gradient(model, params):
    def loss(params):
      everything = {**variables, "params": params}
      outputs, _ = model.apply(everything, x, train=True, mutable=["batch_stats"])
      return jnp.sum(outputs["logits"] ** 2)

    return jax.grad(loss)(params)

  one, other = (gradient(model, variables["params"]) for model in models)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), one, other)
