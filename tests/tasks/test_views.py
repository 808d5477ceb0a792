"""Views of an image that is scored, and the mean of what is said of them."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from cnnjax.engine.step import eval_step, predict_step
from cnnjax.errors import UserError
from cnnjax.tasks import TASKS, task
from cnnjax.tasks.views import VIEWS, views

IMAGES = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype(np.float32)


class Net(nn.Module):
  """Not linear, and sees where things are."""

  @nn.compact
  def __call__(self, x, *, train):
    return {"logits": nn.Dense(3)(nn.relu(nn.Dense(8)(x.reshape(len(x), -1))))}


@pytest.mark.parametrize("name", VIEWS)
def test_weights_are_shares(name):
  assert sum(weight for weight, *_ in VIEWS[name]) == 1
  assert len(set(VIEWS[name])) == len(VIEWS[name])


def test_views_are_mirrored_and_moved():
  found = views({"image": IMAGES, "label": 3}, views="mirrored_moved")
  assert [weight for weight, _ in found] == [1 / 4] * 2 + [1 / 8] * 4
  assert all(batch["label"] == 3 for _, batch in found)
  wide = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
  want = [IMAGES, wide[:, :5, :6], wide[:, 2:, 2:]]
  want = [part for image in want for part in (image, image[:, :, ::-1])]
  for (_, batch), image in zip(found, want, strict=True):
    np.testing.assert_array_equal(batch["image"], image)


def test_a_score_is_of_the_mean_of_the_logits():
  model = Net()
  variables = model.init(jax.random.key(0), IMAGES, train=False)
  batch = {"image": IMAGES, "label": np.arange(4) % 3, "mask": np.ones(4)}
  both = task("classification", views="mirrored")
  parts = [model.apply(variables, x, train=False)["logits"] for x in (IMAGES, IMAGES[:, :, ::-1])]
  want = jax.nn.log_softmax((parts[0] + parts[1]) / 2)
  options = dict(model=model, task=both, scale=lambda batch: batch)
  sums = eval_step(variables, batch, **options)
  loss = -np.asarray(want)[np.arange(4), batch["label"]].sum()
  np.testing.assert_allclose(sums["loss"], loss, rtol=1e-5)
  answers = predict_step(variables, {"image": IMAGES}, **options)
  np.testing.assert_allclose(answers["probabilities"], np.exp(want), rtol=1e-5)
  turned = predict_step(variables, {"image": IMAGES[:, :, ::-1]}, **options)
  np.testing.assert_allclose(turned["probabilities"], np.exp(want), rtol=1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_by_default_there_is_one_view(name):
  batch = {"image": IMAGES}
  ((weight, view),) = task(name).views(batch)
  assert weight == 1 and view["image"] is IMAGES


def test_an_unknown_name_is_a_user_error():
  with pytest.raises(UserError, match="unknown task.views 'mirored'; did you mean mirrored"):
    views({"image": IMAGES}, views="mirored")
  with pytest.raises(UserError, match="unknown option of task detection"):
    task("detection", views="mirrored")
