"""Loss, metrics and answers of regression against scikit-learn and formulae."""

import jax
import numpy as np
import pytest
from sklearn import metrics as sklearn

from cnnjax import tasks
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.tasks import regression as task

RNG = np.random.default_rng(0)
MEAN, STD = (2000.0, -0.5, 3e-4), (150.0, 2.0, 1e-5)
LOGITS = RNG.normal(size=(14, 3)).astype(np.float32)
TARGET = np.float32(MEAN + STD * RNG.normal(size=(14, 3)))
STANDARD = ((TARGET - np.float32(MEAN)) / np.float32(STD)).astype(np.float64)
MASK = np.float32([1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1])
UNITS = {"mean": MEAN, "std": STD}


def loss(logits=LOGITS, mask=MASK, **options):
  batch = {"target": TARGET, "mask": mask}
  return task.loss({"logits": logits}, batch, **UNITS, **options)


def table(target, names=("a", "b", "c")):
  return {"train": Table({"target": np.float32(target)}, names)}


def test_squared_error_in_deviations_over_real_examples():
  value, logs = loss()
  want = np.mean((LOGITS - STANDARD)[MASK > 0] ** 2)
  assert float(value) == pytest.approx(want, rel=1e-5)
  assert float(logs["loss"][0] / logs["loss"][1]) == pytest.approx(want, rel=1e-5)
  away = np.mean(np.abs(LOGITS - STANDARD)[MASK > 0] * STD)
  assert float(logs["mae"][0] / logs["mae"][1]) == pytest.approx(away, rel=1e-5)


def test_huber_error():
  error = np.abs(LOGITS - STANDARD)[MASK > 0]
  want = np.where(error <= 0.7, error**2 / 2, 0.7 * (error - 0.35)).mean()
  assert float(loss(delta=0.7)[0]) == pytest.approx(want, rel=1e-5)


def test_masked_examples_have_no_gradient_and_padding_costs_nothing():
  gradients = jax.grad(lambda logits: loss(logits)[0])(LOGITS)
  assert (np.abs(gradients).sum(-1) > 0).tolist() == (MASK > 0).tolist()
  assert float(loss(mask=0 * MASK)[0]) == 0


def test_auxiliary_logits_count():
  outputs = {"logits": LOGITS, "aux": {"one": LOGITS + 1}}
  both = task.loss(outputs, {"target": TARGET, "mask": MASK}, **UNITS, aux_weight=0.5)[0]
  want = float(loss()[0]) + 0.5 * float(loss(LOGITS + 1)[0])
  assert float(both) == pytest.approx(want, rel=1e-5)


def test_answers_and_figures_are_in_the_users_units():
  bound = tasks.task("regression", **UNITS, delta=0.0)
  outputs, batch = {"logits": LOGITS}, {"target": TARGET, "mask": MASK}
  values = np.asarray(bound.predict(outputs, {})["values"])
  np.testing.assert_allclose(values, np.float32(MEAN) + np.float32(STD) * LOGITS, rtol=1e-6)
  figures = bound.summarise(jax.device_get(bound.metrics(outputs, batch, rows=True)))
  for place, row in enumerate(figures["per_target"]):
    pair = TARGET[MASK > 0, place].astype(float), values[MASK > 0, place].astype(float)
    assert row["mae"] == pytest.approx(sklearn.mean_absolute_error(*pair), rel=1e-5)
    assert row["rmse"] == pytest.approx(sklearn.root_mean_squared_error(*pair), rel=1e-5)
    assert row["r2"] == pytest.approx(sklearn.r2_score(*pair), rel=1e-5)
  np.testing.assert_array_equal(figures["pairs"]["target"], TARGET[MASK > 0])
  np.testing.assert_array_equal(figures["pairs"]["prediction"], values[MASK > 0])
  assert figures["loss"] == pytest.approx(float(loss()[0]), rel=1e-5)


def test_an_answer_by_name():
  assert task.named({"values": [1.5, 2.5]}, ("a", "b")) == {
    "targets": {"a": 1.5, "b": 2.5},
    "values": [1.5, 2.5],
  }


def test_mean_and_deviation_come_from_the_training_split_once():
  splits = table(TARGET)
  found = task.complete(splits)
  np.testing.assert_allclose(found["mean"], TARGET.mean(0, np.float64))
  np.testing.assert_allclose(found["std"], TARGET.std(0, dtype=np.float64))
  assert task.complete(splits, **found) == found
  assert task.complete(splits, mean=(0, 0, 0), std=(1, 1, 1))["std"] == (1, 1, 1)


@pytest.mark.parametrize(
  ("splits", "options", "sentence"),
  [
    (table(np.ones((5, 3)) * [1, 2, 1e9]), {}, "a is 1 in every example of the train split"),
    (
      table(TARGET),
      {"mean": (1.0,), "std": (1.0,)},
      "task.mean must be a number for each of the 3",
    ),
    (table(TARGET), {"mean": (1.0, 2, 3)}, "task.std must be a number above 0 .*found ()"),
    (table(TARGET), {"mean": (1, 2, 3), "std": (1, 0, 1)}, "task.std must be a number above 0"),
    (
      {"train": Table({"label": np.zeros(3)})},
      {},
      "needs numbers for each image, but the data hold",
    ),
  ],
)
def test_refused(splits, options, sentence):
  with pytest.raises(UserError, match=sentence):
    task.complete(splits, **options)
