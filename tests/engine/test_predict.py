"""Predictions for arrays, for paths, and for what is neither."""

import numpy as np
import pytest
from PIL import Image

import cnnjax
from cnnjax.errors import UserError
from tests.models.detection.test_ssd import SMALL

MODELS = {"lenet5": {}, "ssd": SMALL}


@pytest.fixture(scope="module", params=MODELS)
def ask(request):
  """examples -> answers, of a classifier and of a detector that have learnt nothing."""
  import jax

  from cnnjax.data import inputs
  from cnnjax.ops.preprocess import Preprocessing

  to = Preprocessing(resize=(32, 32) if request.param == "lenet5" else (64, 64), channels=1)
  model = cnnjax.create_model(request.param, preprocessing=to, **MODELS[request.param])
  variables = model.init(jax.random.key(0), inputs.empty(to), train=False)
  return lambda examples, **options: cnnjax.predict(model, variables, examples, **options)


def equal(a, b):
  """Asserts that two answers are the same, up to the rounding of batches of other sizes."""
  assert a.keys() == b.keys()
  for key, value in a.items():
    np.testing.assert_allclose(value, b[key], rtol=1e-4, atol=1e-4)


def test_paths_are_read(tmp_path, ask):
  rng = np.random.default_rng(0)
  images = [rng.integers(0, 256, (20 + n, 30), np.uint8) for n in range(20)]
  paths = [tmp_path / f"{n}.png" for n in range(20)]
  for path, image in zip(paths, images):
    Image.fromarray(image).save(path)
  want = ask(images)
  mixed = [(path, str(path), image)[n % 3] for n, (path, image) in enumerate(zip(paths, images))]
  for found in (ask(paths), ask(mixed), ask(iter(mixed)), ask(np.asarray(list(map(str, paths))))):
    assert len(found) == 20
    list(map(equal, found, want))
  equal(ask(paths[3])[0], want[3])
  equal(ask(str(paths[3]))[0], want[3])


@pytest.mark.parametrize(
  ("examples", "sentence"),
  [
    (5, "expected image arrays, or paths of files; found int"),
    (None, "found NoneType"),
    ({"a": 1}, "found dict"),
    (b"x", "found bytes"),
    ("/none.png", "no image file at /none.png"),
    (["a", "b"], "no image file at a"),
    (np.asarray([b"a"]), "example 0 is bytes_"),
    (np.asarray([["a"]]), "example 0 is ndarray <U1"),
    ([np.zeros((3, 3), np.uint8), None], "example 1 is NoneType; expected an array of numbers"),
    ([[[1, 2], [3]]], "example 0 is list"),
    ([np.zeros((3, 3), complex)], "example 0 is ndarray complex128"),
    ([np.asarray([object()])], "example 0 is ndarray object"),
    (np.zeros((5, 5, 3), np.uint8), "put it in a list"),
    (np.asarray(5), "put it in a list"),
    ([np.zeros((0, 3), np.uint8)], "an image must be"),
    ([np.zeros(3, np.uint8)], "an image must be"),
    ([np.zeros((3, 3), np.int64)], "must be uint8, or float"),
  ],
)
def test_anything_else_is_answered_in_one_sentence(ask, examples, sentence):
  with pytest.raises(UserError, match=sentence.replace("(", r"\(")):
    ask(examples)


@pytest.mark.parametrize("shape", [(2, 3000), (3000, 2), (1, 1), (1, 9000)])
def test_any_shape_has_an_answer(ask, shape):
  (answer,) = ask([np.full(shape, 7, np.uint8)])
  for x0, y0, x1, y1 in answer.get("boxes", ()):
    assert 0 <= x0 <= x1 <= 1.0001 * shape[1] and 0 <= y0 <= y1 <= 1.0001 * shape[0]
