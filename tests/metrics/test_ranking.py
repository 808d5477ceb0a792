"""ROC-AUC and average precision against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from cnnjax.metrics.ranking import roc_auc_and_precision, summarise

pytestmark = pytest.mark.filterwarnings("ignore")  # scikit-learn's, of what is not defined


def examples(seed, count=40, classes=4, there=4, steps=0):
  """Returns probabilities, in so many steps or free, and labels of the first `there` classes."""
  rng = np.random.default_rng(seed)
  label = rng.integers(0, there, count).astype(np.int32)
  probabilities = rng.dirichlet(np.ones(classes), count).astype(np.float32)
  return np.round(probabilities * steps) / steps if steps else probabilities, label


@settings(max_examples=60, deadline=None)
@given(
  seed=st.integers(0, 10**6),
  count=st.integers(1, 60),
  classes=st.integers(1, 6),
  there=st.integers(1, 6),
  steps=st.sampled_from([0, 1, 3, 20]),
)
def test_each_class_is_that_of_scikit_learn(seed, count, classes, there, steps):
  probabilities, label = examples(seed, count, classes, min(there, classes), steps)
  found = summarise(probabilities, label[:, None] == np.arange(classes))
  for c, row in enumerate(found["ranking"]):
    positive, score = label == c, probabilities[:, c]
    precision = sklearn.average_precision_score(positive, score)
    assert row["average_precision"] == pytest.approx(precision, abs=1e-6)
    if 0 < positive.sum() < count:
      assert row["roc_auc"] == pytest.approx(sklearn.roc_auc_score(positive, score), abs=1e-6)
    else:
      assert row["roc_auc"] is None
      assert found["undefined"][f"ranking[{c}].roc_auc"].endswith("example is of this class")
  indicator = (label[:, None] == range(classes)).astype(int)
  macro = np.mean(
    [sklearn.average_precision_score(*pair) for pair in zip(indicator.T, probabilities.T)]
  )
  assert found["macro_average_precision"] == pytest.approx(macro, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_means_are_those_of_scikit_learn(seed):
  probabilities, label = examples(seed, 200)
  indicator = np.eye(4)[label] > 0
  found = summarise(probabilities, indicator)
  for mean in ("macro", "weighted"):
    area = sklearn.roc_auc_score(label, probabilities, multi_class="ovr", average=mean)
    assert found[f"{mean}_roc_auc"] == pytest.approx(area, abs=1e-6)
  precision = sklearn.average_precision_score(indicator, probabilities)
  assert found["macro_average_precision"] == pytest.approx(precision, abs=1e-6)
  assert found["undefined"] == {}


def test_an_absent_class_is_left_out_of_the_mean_areas():
  probabilities, label = examples(0, there=3)
  found = summarise(probabilities, np.eye(4)[label] > 0)
  areas = [sklearn.roc_auc_score(label == c, probabilities[:, c]) for c in range(3)]
  assert found["macro_roc_auc"] == pytest.approx(np.mean(areas))
  weighted = np.average(areas, weights=np.bincount(label))
  assert found["weighted_roc_auc"] == pytest.approx(weighted)
  assert found["undefined"] == {"ranking[3].roc_auc": "no example is of this class"}
  assert found["ranking"][3] == {"roc_auc": None, "average_precision": 0}


def test_one_class_alone_has_no_area():
  found = summarise(examples(0)[0], np.eye(4)[np.full(40, 2)] > 0)
  assert found["macro_roc_auc"] is None and found["weighted_roc_auc"] is None
  assert found["undefined"]["ranking[2].roc_auc"] == "every example is of this class"
  assert found["ranking"][2]["average_precision"] == 1


def test_what_is_no_number_ranks_nothing():
  probabilities, label = examples(0)
  probabilities[3] = np.nan
  found = summarise(probabilities, np.eye(4)[label] > 0)
  assert found["macro_roc_auc"] is None and found["macro_average_precision"] is None
  assert found["ranking"] == [{"roc_auc": None, "average_precision": None}] * 4
  assert found["undefined"] == {
    "roc_auc, average_precision": "an example's probabilities are no numbers"
  }


def test_scores_without_bound():
  score, positive = np.float32([np.inf, np.inf, 0, -np.inf, -np.inf]), np.array([1, 0, 1, 0, 0]) > 0
  area, precision = roc_auc_and_precision(score, positive)
  finite = np.clip(score, -9, 9)
  assert area == pytest.approx(sklearn.roc_auc_score(positive, finite))
  assert precision == pytest.approx(sklearn.average_precision_score(positive, finite))
