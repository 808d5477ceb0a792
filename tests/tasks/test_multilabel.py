"""Loss, metrics and answers of several labels an image against scikit-learn and formulae."""

import jax
import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from cnnjax import tasks
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.tasks import multilabel as task

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (20, 4)).astype(np.float32)
TARGET = RNG.integers(0, 2, (20, 4)).astype(np.float32)
MASK = RNG.integers(0, 2, 20).astype(np.float32)
NAMES = ("even", "large", "prime", "loop")


def loss(logits=LOGITS, target=TARGET, mask=MASK, **options):
  return task.loss({"logits": logits}, {"target": target, "mask": mask}, **options)


def table(target):
  return Table({"target": np.float32(target)}, NAMES)


def test_loss_is_that_of_scikit_learn_over_real_examples():
  real, guess = MASK > 0, expit(LOGITS.astype(np.float64))
  each = [log_loss(TARGET[real, c], guess[real, c], labels=[0, 1]) for c in range(4)]
  value, logs = loss()
  assert float(value) == pytest.approx(np.mean(each), rel=1e-5)
  hits = ((LOGITS > 0) == (TARGET > 0.5))[real].mean()
  assert float(logs["accuracy"][0] / logs["accuracy"][1]) == pytest.approx(hits)


def test_a_label_that_is_there_counts_by_its_weight():
  weights = (1.0, 2.0, 0.5, 9.0)
  more = [np.where(TARGET[:, c] > 0, w - 1, 0) for c, w in enumerate(weights)]
  extra = np.mean((np.stack(more, -1) * np.log1p(np.exp(-LOGITS)))[MASK > 0])
  want = float(loss()[0]) + extra
  assert float(loss(positive_weights=weights)[0]) == pytest.approx(want, rel=1e-5)


def test_mixed_targets_and_extreme_logits():
  soft = np.full_like(TARGET, 0.25)
  want = np.mean(0.25 * np.log1p(np.exp(-LOGITS)) + 0.75 * np.log1p(np.exp(LOGITS)))
  assert float(loss(target=soft, mask=0 * MASK + 1)[0]) == pytest.approx(want, rel=1e-5)
  sure = np.where(TARGET > 0, 1e4, -1e4).astype(np.float32)
  assert float(loss(sure)[0]) == 0 and float(loss(-sure)[0]) == pytest.approx(1e4)


def test_masked_examples_have_no_gradient_and_padding_costs_nothing():
  gradients = jax.grad(lambda logits: loss(logits)[0])(LOGITS)
  assert (np.abs(gradients).sum(-1) > 0).tolist() == (MASK > 0).tolist()
  assert float(loss(mask=0 * MASK)[0]) == 0


def test_auxiliary_logits_count():
  outputs = {"logits": LOGITS, "aux": {"one": -LOGITS}}
  both = task.loss(outputs, {"target": TARGET, "mask": MASK})[0]
  assert float(both) == pytest.approx(float(loss()[0]) + 0.3 * float(loss(-LOGITS)[0]), rel=1e-5)


def test_answers():
  answer = jax.device_get(task.predict({"logits": LOGITS}, {}))
  np.testing.assert_allclose(answer["probabilities"], expit(LOGITS), rtol=1e-5)
  np.testing.assert_array_equal(answer["labels"], LOGITS > 0)
  told = task.named({"labels": [0, 1, 0, 1], "probabilities": []}, NAMES)
  assert told["classes"] == ["large", "loop"]


def test_evaluation_has_the_loss_without_weights():
  bound = tasks.task("multilabel", positive_weights=(1.0, 2.0, 3.0, 4.0))
  sums = bound.metrics({"logits": LOGITS}, {"target": TARGET, "mask": MASK})
  figures = bound.summarise(jax.device_get(sums))
  assert figures["loss"] == pytest.approx(float(loss()[0]), rel=1e-5)
  assert figures["examples"] == MASK.sum()


def test_balanced_weights_are_absent_over_present():
  target = np.zeros((10, 4))
  target[:5, 0] = target[:1, 1] = target[:2, 2] = target[:9, 3] = 1
  splits = {"train": table(target)}
  found = task.complete(splits, positive_weights="balanced")
  np.testing.assert_allclose(found["positive_weights"], (1, 9, 4, 1 / 9))
  assert task.complete(splits) == {}
  target[:, 2] = 0
  with pytest.raises(UserError, match="positive_weights cannot be balanced: .*of prime"):
    task.complete({"train": table(target)}, positive_weights="balanced")


@pytest.mark.parametrize(
  ("splits", "options", "sentence"),
  [
    ({"train": table(TARGET), "test": table(TARGET / 2)}, {}, "the test split has .* 0.5"),
    ({"train": Table({"label": np.zeros(3)})}, {}, "task multilabel needs numbers"),
    ({"train": table(TARGET)}, {"positive_weights": (1.0,)}, "above 0 for each of 4"),
    ({"train": table(TARGET)}, {"positive_weights": (1.0, 1, 1, 0)}, "above 0 for each of 4"),
    ({"train": table(TARGET)}, {"positive_weights": "balance"}, "found 'balance'"),
  ],
)
def test_refused(splits, options, sentence):
  with pytest.raises(UserError, match=sentence):
    task.complete(splits, **options)
