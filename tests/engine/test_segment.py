"""Class maps of a user's images: at their size, part by part, from a run's folder."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.data import image as images
from cnnjax.engine.segment import enlarged, segment
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing

RNG = np.random.default_rng(0)


class Levels(nn.Module):
  """The class of a pixel is its level: one of 4 from 0 to 255; with `cut` a border is lost."""

  preprocessing: Preprocessing = Preprocessing(channels=1)
  cut: int = 0
  num_classes: int = 4
  task = "segmentation"

  @nn.compact
  def __call__(self, x, *, train):
    bias = self.param("bias", nn.initializers.zeros, (4,))
    inner = x[:, self.cut : x.shape[1] - self.cut, self.cut : x.shape[2] - self.cut]
    return {"logits": bias - jnp.abs(inner - jnp.arange(4) / 3)}


def net(**options):
  model = Levels(Preprocessing(channels=1, **options.pop("to", {})), **options)
  return model, model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)


def steps(*size):
  """Returns an image of the four levels in blocks of 10 pixels, and its map."""
  truth = RNG.integers(0, 4, [-(-s // 10) for s in size]).repeat(10, 0).repeat(10, 1)
  truth = truth[: size[0], : size[1]].astype(np.uint8)
  return 85 * truth, truth


@pytest.mark.parametrize("to", [{}, {"tile": (16, 24)}, {"tile": (64, 64), "overlap": 0.0}])
@pytest.mark.parametrize("cut", [0, 3])
def test_the_map_has_the_images_size(to, cut, capsys):
  model, variables = net(to=to, cut=cut)
  for size in ((40, 57), (33, 20)):
    image, truth = steps(*size)
    for given in (image, image[..., None], np.repeat(image[..., None], 3, 2), image / 255):
      np.testing.assert_array_equal(segment(model, variables, given), truth)
  told = "an image of 40x57 is smaller than the window 64x64: it is mirrored at its borders"
  assert (told in capsys.readouterr().err) == (to.get("tile") == (64, 64))


def test_an_image_that_is_resized_gets_its_map_at_its_size():
  model, variables = net(to=dict(resize=(40, 40)))
  image, truth = steps(80, 120)
  found = segment(model, variables, image)
  inner = np.zeros((10, 10), bool)
  inner[4:6, 4:6] = True  # away from the blocks' borders, where levels are mixed
  there = np.tile(inner, (8, 12))
  assert found.shape == (80, 120) and (found == truth)[there].all()
  with pytest.raises(UserError, match="a class map needs the whole image, but data.crop is"):
    segment(*net(to=dict(resize=(40, 40), crop=(32, 32))), image)


def test_enlarged_is_linear_between_centres():
  values = RNG.normal(size=(9, 11, 3)).astype(np.float32)
  for size in ((9, 11), (130, 33), (5, 4), (9, 1)):
    found = np.concatenate([rows for _, rows in enlarged(values, size)])
    want = jax.image.resize(values, (*size, 3), "linear", antialias=False)
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
  volume = RNG.normal(size=(4, 5, 6, 2)).astype(np.float32)
  ((part, found),) = enlarged(volume, (8, 10, 3))
  want = jax.image.resize(volume, (8, 10, 3, 2), "linear", antialias=False)
  np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
  assert part == (slice(0, 8), slice(0, 10), slice(0, 3))


def test_a_memory_map_stays_one(tmp_path, monkeypatch):
  model, variables = net(to=dict(tile=(32, 32)))
  image, truth = steps(200, 90)
  kept = np.lib.format.open_memmap(tmp_path / "image.npy", "w+", np.uint8, (200, 90, 1))
  kept[..., 0] = image
  out = np.lib.format.open_memmap(tmp_path / "map.npy", "w+", np.uint8, (200, 90))
  monkeypatch.setattr(images, "fit", None)  # would read all of it
  assert segment(model, variables, kept, out) is out
  np.testing.assert_array_equal(np.load(tmp_path / "map.npy"), truth)


def test_predict_answers_with_maps_and_names(tmp_path):
  model, variables = net()
  given = [steps(30, 40), steps(20, 20)]
  answers = cnnjax.predict(model, variables, [image for image, _ in given], classes="abcd")
  for (_, truth), answer in zip(given, answers):
    np.testing.assert_array_equal(answer["segments"], truth)
    want = {name: int((truth == k).sum()) for k, name in enumerate("abcd") if (truth == k).any()}
    assert answer["pixels"] == want
  with pytest.raises(UserError, match="unknown option of task segmentation 'dise'"):
    cnnjax.predict(model, variables, [given[0][0]], dise=1.0)
