"""Loss, metrics and answers of classification against scikit-learn and formulae."""

import jax
import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, log_loss
from sklearn.utils.class_weight import compute_class_weight

from cnnjax import tasks
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.tasks import classification as task

CLASSES, COUNT = 5, 12
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (COUNT, CLASSES)).astype(np.float32)
LABEL = RNG.integers(0, CLASSES, COUNT).astype(np.int32)
ALL = np.ones(COUNT, np.float32)
SOME = np.float32([1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1])
PROBABILITIES = np.exp(log_softmax(LOGITS.astype(np.float64), -1))


def loss(batch, logits=LOGITS, **options):
  return task.loss({"logits": logits}, batch, **options)


def batch(mask=ALL, **more):
  return {"label": LABEL, "mask": mask, **more}


def reference(keep):
  return log_loss(LABEL[keep], PROBABILITIES[keep], labels=range(CLASSES))


@pytest.mark.parametrize("mask", [ALL, SOME])
def test_loss_is_that_of_scikit_learn_over_real_examples(mask):
  value, logs = loss(batch(mask))
  assert float(value) == pytest.approx(reference(mask > 0), rel=1e-5)
  total, count = logs["loss"]
  assert count == mask.sum() and float(total / count) == pytest.approx(float(value))
  hits, count = logs["accuracy"]
  expected = accuracy_score(LABEL[mask > 0], LOGITS.argmax(-1)[mask > 0])
  assert float(hits / count) == pytest.approx(expected)


def test_masked_examples_have_no_gradient():
  gradients = jax.grad(lambda logits: loss(batch(SOME), logits)[0])(LOGITS)
  assert (np.abs(gradients).sum(-1) > 0).tolist() == (SOME > 0).tolist()
  want = (PROBABILITIES - np.eye(CLASSES)[LABEL]) / SOME.sum()
  np.testing.assert_allclose(gradients, want * SOME[:, None], atol=1e-6)


def test_a_batch_of_padding_alone_costs_nothing():
  value, logs = loss(batch(0 * ALL))
  assert float(value) == 0 and logs["loss"][1] == 0


def test_label_smoothing():
  smoothed = 0.9 * np.eye(CLASSES)[LABEL] + 0.1 / CLASSES
  want = -np.mean(np.sum(smoothed * np.log(PROBABILITIES), -1))
  value, _ = loss(batch(), label_smoothing=0.1)
  assert float(value) == pytest.approx(want, rel=1e-5)
  assert abs(float(value) - reference(ALL > 0)) > 1e-3


def test_soft_target_is_preferred_to_label_and_not_smoothed():
  target = RNG.dirichlet(np.ones(CLASSES), COUNT).astype(np.float32)
  want = -np.mean(np.sum(target * np.log(PROBABILITIES), -1))
  value, logs = loss(batch(target=target))
  assert float(value) == pytest.approx(want, rel=1e-5)
  assert float(loss(batch(target=target), label_smoothing=0.3)[0]) == float(value)
  assert float(logs["accuracy"][0]) == np.sum(LOGITS.argmax(-1) == LABEL)


def test_loss_of_extreme_logits_is_finite():
  sure = np.where(np.eye(CLASSES)[LABEL] > 0, 1e4, -1e4).astype(np.float32)
  assert float(loss(batch(), sure)[0]) == 0
  assert float(loss(batch(), -sure)[0]) == pytest.approx(2e4 + np.log(CLASSES - 1))


@pytest.mark.parametrize("mask", [ALL, SOME])
def test_evaluation(mask):
  sums = task.metrics({"logits": LOGITS}, batch(mask))
  figures = task.summarise(jax.device_get(sums), top_k=3)
  assert figures["loss"] == pytest.approx(reference(mask > 0), rel=1e-5)
  assert figures["accuracy"] == np.mean((LOGITS.argmax(-1) == LABEL)[mask > 0])
  assert figures["examples"] == mask.sum()
  assert "top_3" in figures and "top_4" not in figures


def test_padding_of_nan_does_not_reach_the_evaluation():
  logits = np.where(SOME[:, None] > 0, LOGITS, np.nan)
  found = task.metrics({"logits": logits}, batch(SOME))
  jax.tree.map(np.testing.assert_array_equal, found, task.metrics({"logits": LOGITS}, batch(SOME)))


@pytest.mark.parametrize("scale", [1, 1e4])
def test_answers_are_probabilities(scale):
  answers = task.predict({"logits": LOGITS * np.float32(scale)}, {})
  np.testing.assert_allclose(answers["probabilities"].sum(-1), 1, rtol=1e-5)
  np.testing.assert_array_equal(answers["label"], LOGITS.argmax(-1))
  np.testing.assert_array_equal(answers["probability"], answers["probabilities"].max(-1))
  if scale == 1:
    np.testing.assert_allclose(answers["probabilities"], PROBABILITIES, rtol=1e-5)


def test_the_network_reads_the_image():
  assert task.inputs({"image": 1, "label": 2}) == 1


def test_tasks_by_name():
  bound = tasks.task("classification", label_smoothing=0.1, top_k=2)
  assert float(bound.loss({"logits": LOGITS}, batch())[0]) == float(
    loss(batch(), label_smoothing=0.1)[0]
  )
  figures = bound.summarise(jax.device_get(bound.metrics({"logits": LOGITS}, batch())))
  assert "top_2" in figures and "top_3" not in figures
  with pytest.raises(UserError, match="unknown task 'clasification'; .*classification"):
    tasks.task("clasification")
  with pytest.raises(UserError, match="unknown option of task classification 'delta'; known: aux_"):
    tasks.task("classification", delta=1.0)


WEIGHTS = (0.5, 1.0, 2.0, 4.0, 8.0)


def test_class_weights_count_the_terms_and_divide_by_those_of_the_labels():
  value, logs = loss(batch(SOME), class_weights=WEIGHTS)
  each, weight = -np.log(PROBABILITIES)[range(COUNT), LABEL], np.asarray(WEIGHTS)[LABEL] * SOME
  assert float(value) == pytest.approx(np.sum(each * weight) / weight.sum(), rel=1e-5)
  assert float(logs["loss"][1]) == weight.sum() and float(logs["accuracy"][1]) == SOME.sum()
  assert float(loss(batch(0 * ALL), class_weights=WEIGHTS)[0]) == 0
  even, _ = loss(batch(SOME), class_weights=(3.0,) * CLASSES)
  assert float(even) == pytest.approx(reference(SOME > 0), rel=1e-5)


def splits(label, names="abc", key="label"):
  return {"train": Table({key: np.asarray(label)}, tuple(names))}


def test_balanced_weights():
  found = task.complete(splits([0, 0, 0, 1, 2, 2]), class_weights="balanced")
  want = compute_class_weight("balanced", classes=np.arange(3), y=[0, 0, 0, 1, 2, 2])
  np.testing.assert_allclose(found["class_weights"], want)
  assert task.complete(splits([0, 1, 2]), **found) == found
  assert task.complete(splits([0, 1, 2])) == {}
  given = {"name": "classification", "label_smoothing": 0.1}
  assert tasks.complete(given, splits([0, 1, 2])) == given  # no key that was not there


@pytest.mark.parametrize(
  ("label", "key", "weights", "sentence"),
  [
    ([0, 2, 2], "label", "balanced", "class_weights cannot be balanced: .*of b"),
    ([0, 1, 2], "label", "balance", "above 0 for each of 3 classes; found 'balance'"),
    ([0, 1, 2], "label", (1.0, 2.0), "above 0 for each of 3"),
    ([0, 1, 2], "label", (1.0, 2.0, -1.0), "above 0 for each of 3"),
    ([[0.5]], "target", (), "needs a class for each image, but the data hold numbers"),
    ([0.5], "box", (), "needs a class for each image, but the data hold neither"),
  ],
)
def test_refused(label, key, weights, sentence):
  with pytest.raises(UserError, match=sentence):
    task.complete(splits(label, key=key), class_weights=weights)
