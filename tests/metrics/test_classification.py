"""Sums and figures of a classifier against scikit-learn's."""

import jax
import numpy as np
import pytest
from sklearn import metrics as sklearn

from cnnjax.metrics.classification import rows, summarise, sums

CLASSES = 7
sums_of = jax.jit(sums)


def examples(count, seed=0):
  rng = np.random.default_rng(seed)
  label = rng.integers(0, CLASSES, count).astype(np.int32)
  logits = rng.normal(size=(count, CLASSES)).astype(np.float32)
  logits[np.arange(count), label] += 1
  return logits, label


def ones(count):
  return np.ones(count, np.float32)


def added(parts):
  return jax.tree.map(lambda *values: np.sum(np.stack(values), 0), *parts)


def check(figures, logits, label):
  """Asserts that figures are those that scikit-learn finds."""
  guess, names = logits.argmax(-1), range(CLASSES)
  assert figures["examples"] == len(label)
  assert figures["accuracy"] == pytest.approx(sklearn.accuracy_score(label, guess), abs=1e-12)
  for k in range(2, 6):
    top = sklearn.top_k_accuracy_score(label, logits, k=k, labels=names)
    assert figures[f"top_{k}"] == pytest.approx(top, abs=1e-12)
  assert figures["confusion"] == sklearn.confusion_matrix(label, guess, labels=names).tolist()
  each = sklearn.precision_recall_fscore_support(label, guess, labels=names, zero_division=0)
  for name, want in zip(("precision", "recall", "f1", "examples"), each):
    np.testing.assert_allclose([row[name] for row in figures["per_class"]], want, atol=1e-12)
  macro = sklearn.precision_recall_fscore_support(label, guess, average="macro", zero_division=0)
  for name, want in zip(("precision", "recall", "f1"), macro):  # over the classes that occur
    assert figures[f"macro_{name}"] == pytest.approx(want, abs=1e-12)
  for mean, found in figures["averages"].items():
    want = sklearn.precision_recall_fscore_support(label, guess, average=mean, zero_division=0)
    assert list(found.values()) == pytest.approx(want[:3], abs=1e-12)


def test_figures_are_those_of_scikit_learn_where_the_mask_is_1():
  logits, label = examples(90)
  mask = np.random.default_rng(1).integers(0, 2, 90).astype(np.float32)
  check(summarise(sums_of(logits, label, mask)), logits[mask > 0], label[mask > 0])


def test_sums_add_over_unequal_batches():
  logits, label = examples(90)
  cuts = [(0, 11), (11, 40), (40, 90)]
  parts = [sums_of(logits[a:b], label[a:b], ones(b - a)) for a, b in cuts]
  check(summarise(added(parts)), logits, label)


@pytest.mark.parametrize("value", [0, 1e9, np.nan, -np.inf])
def test_padding_changes_nothing(value):
  logits, label = examples(20)
  padded = np.concatenate([logits, np.full((10, CLASSES), value, np.float32)])
  mask = np.concatenate([ones(20), np.zeros(10, np.float32)])
  found = sums_of(padded, np.concatenate([label, np.zeros(10, np.int32)]), mask)
  jax.tree.map(np.testing.assert_array_equal, found, sums_of(logits, label, ones(20)))


def test_ties_count_as_argmax_and_a_stable_sort_do():
  rng = np.random.default_rng(2)
  logits = rng.integers(0, 3, (90, CLASSES)).astype(np.float32)
  label = rng.integers(0, CLASSES, 90).astype(np.int32)
  figures = summarise(sums_of(logits, label, ones(90)))
  order = np.argsort(-logits, axis=-1, kind="stable")
  assert figures["accuracy"] == np.mean(logits.argmax(-1) == label)
  for k in range(2, 6):
    assert figures[f"top_{k}"] == pytest.approx(np.mean((order[:, :k] == label[:, None]).any(-1)))


def test_equal_logits_are_no_better_than_a_constant():
  logits, label = np.zeros((CLASSES, CLASSES), np.float32), np.arange(CLASSES, dtype=np.int32)
  figures = summarise(sums_of(logits, label, ones(CLASSES)))
  assert figures["accuracy"] == pytest.approx(1 / CLASSES)
  assert figures["top_3"] == pytest.approx(3 / CLASSES)


@pytest.mark.parametrize("place", ["own", "other", "all"])
def test_nan_is_never_a_hit(place):
  label = np.arange(CLASSES, dtype=np.int32)
  logits = np.eye(CLASSES, dtype=np.float32)
  where = {"own": label, "other": (label + 1) % CLASSES, "all": slice(None)}[place]
  rows = np.arange(CLASSES) if place != "all" else slice(None)
  logits[rows, where] = np.nan
  figures = summarise(sums_of(logits, label, ones(CLASSES)), top_k=CLASSES)
  assert [figures[k] for k in ("accuracy", "top_2", "top_7", "macro_recall", "macro_f1")] == [0] * 5
  assert np.sum(figures["confusion"]) == 0
  assert [row["examples"] for row in figures["per_class"]] == [1] * CLASSES


def test_nan_in_one_example_leaves_the_others():
  logits, label = examples(20)
  alone = sums_of(logits[1:], label[1:], ones(19))
  logits[0] = np.nan
  found = sums_of(logits, label, ones(20))
  np.testing.assert_array_equal(found["confusion"], alone["confusion"])
  assert found["examples"] == 20 and found["support"].sum() == 20


def test_a_class_never_predicted_and_one_without_examples():
  label = np.int32([0, 0, 1, 1])
  logits = np.eye(CLASSES, dtype=np.float32)[[0, 0, 0, 2]] - np.float32(0.01) * np.arange(CLASSES)
  figures = summarise(sums_of(logits, label, ones(4)))
  check(figures, logits, label)
  never, without = figures["per_class"][1], figures["per_class"][2]
  assert never == {"precision": 0, "recall": 0, "f1": 0, "examples": 2}
  assert without == {"precision": 0, "recall": 0, "f1": 0, "examples": 0}
  assert figures["per_class"][0]["precision"] == pytest.approx(2 / 3)


def test_two_classes_have_a_top_2_and_no_more():
  logits, label = np.float32([[2, 1], [2, 1], [1, 2]]), np.int32([0, 1, 1])
  figures = summarise(sums_of(logits, label, ones(3)))
  assert figures["accuracy"] == pytest.approx(2 / 3) and figures["top_2"] == 1
  assert "top_3" not in figures
  assert figures["confusion"] == [[1, 0], [1, 1]]


@pytest.mark.parametrize("there", [1, 2, CLASSES])
@pytest.mark.parametrize("count", [1, 13, 60])
def test_degenerate_labels(count, there):
  logits, label = examples(count)
  label %= there
  check(summarise(sums_of(logits, label, ones(count))), logits, label)


def test_rows_are_ranked_without_their_padding():
  logits, label = examples(40)
  logits[30:], mask = np.nan, np.repeat(np.float32([1, 0]), [30, 10])
  found = jax.device_get({**sums_of(logits, label, mask), "rows": rows(logits, label, mask)})
  figures = summarise(found)
  probabilities = np.asarray(jax.nn.softmax(logits[:30]))
  for mean in ("macro", "weighted"):
    want = sklearn.roc_auc_score(label[:30], probabilities, multi_class="ovr", average=mean)
    assert figures[f"{mean}_roc_auc"] == pytest.approx(want, abs=1e-6)
  assert figures["undefined"] == {}
  assert "macro_roc_auc" not in summarise(sums_of(logits, label, mask))
