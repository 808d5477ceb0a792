"""Claims on images that were permuted, moved or made noisy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import cnnjax
from cnnjax.errors import UserError
from cnnjax.layers import Conv
from cnnjax.models.classification.lenet import Trunk
from experiments.claims import changed, noise, permuted, shift
from experiments.claims.trainings import mnist


@pytest.fixture(scope="module")
def out(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(changed, "BATCH", 512)  # all test images at once
    yield tmp_path_factory.mktemp("runs")  # the claims share what they train alike


def found(claim, out):
  return {f.what: f for f in claim(quick=True, epochs=2, seeds=1, out=out)}


def number(finding):
  return float(finding.ours.split()[0])


def test_permute_moves_all_images_alike():
  images = np.arange(2 * 5 * 4 * 3).reshape(2, 5, 4, 3)
  there = permuted.permute(images, 0)
  assert there.shape == images.shape and (there != images).any()
  assert (there[1] - there[0] == images[1] - images[0]).all()  # pixel k of both went to one place
  assert (there[..., 1] - there[..., 0] == 1).all()  # channels stay together
  assert (permuted.permute(images, 0) == there).all()
  assert (permuted.permute(images, 1) != there).any()


def test_a_permuted_set_is_whole(tmp_path):
  make = partial(mnist, "mlp", fraction=0.5, quick=True)
  config = permuted._permuted(make, tmp_path, 0)
  with np.load(config.data.root) as there:
    assert len(there["x_train"]) == len(permuted._splits(make(0))["train"])
  assert config.data.fraction == 0.5  # of the whole, taken by the run


def test_a_dense_network_has_weights_for_any_order():
  model, x = cnnjax.create_model("mlp"), np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
  variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), x)
  order = permuted.permute(np.arange(64).reshape(1, 8, 8, 1), 5).ravel()
  other = jax.tree.map(jnp.asarray, variables)
  first = other["params"]["trunk"]["fc1"]
  first["kernel"] = first["kernel"][order]
  apply = jax.jit(partial(model.apply, train=False))
  logits, same = apply(variables, x)["logits"], apply(other, permuted.permute(x, 5))["logits"]
  np.testing.assert_allclose(same, logits, atol=1e-5)


def test_moved():
  images = np.zeros((4, 5, 5, 1), np.uint8)
  images[:, 2, 2] = 7
  there = shift.moved(images, 2)
  assert [tuple(np.argwhere(image[..., 0])[0]) for image in there] == [
    (2, 4), (2, 0), (4, 2), (0, 2)
  ]  # fmt: skip
  assert (shift.moved(images, 0) == images).all() and not shift.moved(images, 3).any()


def test_half_the_pooled_values_change():
  findings = {f.what: f for f in shift._pooled_values()}
  assert findings["the drawn row moves by one: inputs that change"].ours == "100%"
  assert findings["its pooled values that change"].ours == "50%"
  # the largest of 4 lies in the 2 places that neighbouring windows share with chance 1/2, of 3 in 1
  x = np.random.default_rng(0).random((1000, 101))
  assert shift.changed_part(x, 3, 1) == pytest.approx(1 / 2, abs=0.01)
  assert shift.changed_part(x, 2, 2) == pytest.approx(2 / 3, abs=0.01)


def test_lenet5_without_pooling_takes_every_second_value():
  x = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)
  variables = jax.jit(partial(Trunk(2).init, train=False))(jax.random.key(0), x)
  maps = jax.jit(partial(Trunk(1).apply, train=False))(variables, x)
  conv2 = {"params": variables["params"]["conv2"]}
  skipped = jax.jit(Conv(16, 5).apply)(conv2, maps["conv1"][:, ::2, ::2])
  np.testing.assert_allclose(maps["conv2"], jax.nn.relu(skipped), atol=1e-5)


def test_noise_is_what_it_says():
  rng = np.random.default_rng
  grey = np.full((50, 28, 28, 1), 128, np.uint8)
  noisy = noise.gaussian(grey, 0.1, rng(0))
  assert noisy.dtype == np.uint8 and noisy.std() == pytest.approx(25.5, rel=0.02)
  assert (noise.gaussian(grey, 0.0, rng(0)) == grey).all()
  spots = noise.salt_and_pepper(grey, 0.3, rng(0))
  assert (spots == 0).mean() == pytest.approx(0.15, abs=0.01)
  assert (spots == 255).mean() == pytest.approx(0.15, abs=0.01)
  assert ((spots == 128) | (spots == 0) | (spots == 255)).all()


def test_better_is_judged_over_the_levels_asked_for():
  curves = {"a": np.asarray([[0, 5, 7], [0, 6, 7]]), "b": np.asarray([[9, 4, 4], [9, 4, 4]])}
  assert changed.better("x", curves, "a", "b", slice(1, None)).holds
  assert changed.better("x", curves, "b", "a", slice(0, 1)).holds
  (row,) = changed.rows("sigma", [0.5], {k: v[:, 1:2] for k, v in curves.items()})
  assert (row.what, row.ours) == ("sigma 0.5", "a 5.5, b 4.0 %")


@pytest.mark.parametrize("claim", [permuted.permuted, shift.shift, noise.noise])
def test_without_its_data(claim, tmp_path):
  with pytest.raises(UserError, match="data.root is empty"):
    claim(out=tmp_path)
  assert not any(tmp_path.rglob("config.json"))


def test_permuted(out):
  findings = found(permuted.permuted, out)
  assert number(findings["mlp, permuted"]) > number(findings["lenet5, permuted"]) + 5
  assert Image.open(out / "permuted.png").size > (1000, 200)


def test_shift(out):
  findings = found(shift.shift, out)
  assert number(findings["lenet5 over lenet5_unpooled, 1 to 3 pixels"]) > 1
  assert findings["pixels 0"].ours.startswith("mlp ")
  assert Image.open(out / "shift.png").size > (300, 200)


def test_noise(out):
  """On gratings, unlike digits, what is global counts, and the dense network averages it."""
  findings = found(noise.noise, out)
  assert number(findings["lenet5 over mlp, gaussian noise"]) < -1
  assert findings["lenet5 over mlp, gaussian noise"].holds is None  # of one seed
  for name in ("gaussian", "salt_and_pepper", "examples"):
    assert Image.open(out / f"noise_{name}.png").size > (300, 200)
