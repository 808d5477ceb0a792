"""Sums and figures of several labels an image against scikit-learn's."""

import jax
import numpy as np
import pytest
from sklearn import metrics as sklearn

from cnnjax.metrics.multilabel import rows, summarise, sums

sums_of = jax.jit(sums)


def examples(count, labels=4, seed=0, rate=0.4):
  rng = np.random.default_rng(seed)
  target = (rng.random((count, labels)) < rate).astype(np.float32)
  return (rng.normal(size=(count, labels)) + target - 0.5).astype(np.float32), target


def figures_of(logits, target, mask=None):
  mask = np.ones(len(logits), np.float32) if mask is None else mask
  return summarise(
    {**sums_of(logits, target, mask), "rows": jax.device_get(rows(logits, target, mask))}
  )


def check(figures, logits, target):
  """Asserts that figures are those that scikit-learn finds."""
  guess, score, there = logits > 0, np.asarray(jax.nn.sigmoid(logits)), target > 0
  assert figures["examples"] == len(target)
  assert figures["subset_accuracy"] == pytest.approx(sklearn.accuracy_score(there, guess))
  assert figures["accuracy"] == pytest.approx(1 - sklearn.hamming_loss(there, guess))
  for mean, found in figures["averages"].items():
    want = sklearn.precision_recall_fscore_support(there, guess, average=mean, zero_division=0)
    assert list(found.values()) == pytest.approx(want[:3], abs=1e-12)
  each = sklearn.precision_recall_fscore_support(there, guess, average=None, zero_division=0)
  for name, want in zip(("precision", "recall", "f1", "examples"), each):
    np.testing.assert_allclose([row[name] for row in figures["per_label"]], want, atol=1e-12)
  areas, precisions = [], []
  for c, (row, ranked) in enumerate(zip(figures["per_label"], figures["ranking"])):
    assert row["accuracy"] == pytest.approx(np.mean(guess[:, c] == there[:, c]))
    precisions.append(sklearn.average_precision_score(there[:, c], score[:, c]))
    assert ranked["average_precision"] == pytest.approx(precisions[-1], abs=1e-6)
    if 0 < there[:, c].sum() < len(there):
      areas.append(sklearn.roc_auc_score(there[:, c], score[:, c]))
      assert ranked["roc_auc"] == pytest.approx(areas[-1], abs=1e-6)
    else:
      assert ranked["roc_auc"] is None
  assert figures["macro_average_precision"] == pytest.approx(np.mean(precisions), abs=1e-6)
  assert figures["macro_roc_auc"] == (pytest.approx(np.mean(areas), abs=1e-6) if areas else None)
  micro = sklearn.average_precision_score(there, score, average="micro")
  assert figures["micro_average_precision"] == pytest.approx(micro, abs=1e-6)


@pytest.mark.filterwarnings("ignore")  # scikit-learn's, of what is not defined
@pytest.mark.parametrize("rate", [0.4, 0, 1, 0.03])
@pytest.mark.parametrize(("count", "labels"), [(1, 3), (9, 2), (120, 5)])
def test_figures_are_those_of_scikit_learn(count, labels, rate):
  logits, target = examples(count, labels, rate=rate)
  check(figures_of(logits, target), logits, target)


@pytest.mark.parametrize("value", [0, 1e9, np.nan])
def test_sums_add_over_padded_batches(value):
  logits, target = examples(90)
  whole, parts = sums_of(logits, target, np.ones(90)), []
  for a, b in ((0, 11), (11, 40), (40, 90)):
    padded = [np.full((64, 4), value, np.float32) for _ in range(2)]
    padded[0][: b - a], padded[1][: b - a] = logits[a:b], target[a:b]
    parts.append(sums_of(*padded, np.arange(64) < b - a))
  added = jax.tree.map(lambda *v: np.sum(np.stack(v), 0), *parts)
  jax.tree.map(np.testing.assert_array_equal, added, whole)


def test_masked_rows_are_not_ranked():
  logits, target = examples(40)
  mask = np.repeat(np.float32([1, 0]), [30, 10])
  check(figures_of(logits, target, mask), logits[:30], target[:30])


def test_nan_is_never_a_hit():
  logits, target = examples(6)
  alone = figures_of(logits[1:], target[1:])
  logits[0] = np.nan
  figures = summarise(sums_of(logits, target, np.ones(6)))
  assert figures["subset_accuracy"] == pytest.approx(alone["subset_accuracy"] * 5 / 6)
  assert figures["accuracy"] == pytest.approx(alone["accuracy"] * 5 / 6)
  assert figures_of(logits, target)["macro_average_precision"] is None
