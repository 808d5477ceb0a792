"""The expected calibration error against its formula in float64, and scikit-learn's curve."""

import jax
import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from cnnjax.metrics.calibration import BINS, EDGES, summarise, sums

sums_of = jax.jit(sums)


def examples(count, classes=4, seed=0, sharpness=1.0):
  rng = np.random.default_rng(seed)
  probabilities = rng.dirichlet(np.full(classes, 1 / sharpness), count).astype(np.float32)
  return probabilities, rng.integers(0, classes, count).astype(np.int32)


def error_of(probabilities, label):
  confidence = probabilities.max(-1).astype(np.float64)
  hit = probabilities.argmax(-1) == label
  place = np.digitize(confidence, EDGES[1:-1].astype(np.float64), right=True)
  gaps = [abs(np.sum((hit - confidence)[place == m])) for m in range(BINS)]
  return sum(gaps) / len(label)


@pytest.mark.parametrize(("count", "classes"), [(1, 2), (7, 3), (300, 2), (300, 10), (20_000, 5)])
@pytest.mark.parametrize("sharpness", [1, 20])
def test_error_is_that_of_the_formula_where_the_mask_is_1(count, classes, sharpness):
  probabilities, label = examples(count, classes, sharpness=sharpness)
  mask = np.arange(count) % 3 < 2
  found = summarise(sums_of(probabilities, label, mask.astype(np.float32)))
  want = error_of(probabilities[mask], label[mask])
  assert found["expected_calibration_error"] == pytest.approx(want, abs=1e-6)
  assert sum(b["examples"] for b in found["calibration"]) == mask.sum()


def test_bins_are_those_of_scikit_learn():
  probabilities, label = examples(500)
  bins = summarise(sums_of(probabilities, label, np.ones(500)))["calibration"]
  hit, confidence = probabilities.argmax(-1) == label, probabilities.max(-1)
  accuracy, mean = calibration_curve(hit, confidence, n_bins=BINS)
  full = [b for b in bins if b["examples"]]
  np.testing.assert_allclose([b["accuracy"] for b in full], accuracy, atol=1e-6)
  np.testing.assert_allclose([b["confidence"] for b in full], mean, atol=1e-6)
  assert all(b["low"] < b["confidence"] <= b["high"] for b in full)
  assert (bins[0]["confidence"], bins[0]["accuracy"]) == (None, None)  # of 4 classes one has 1/4


@pytest.mark.parametrize("value", [0, 1, np.nan])
def test_padding_and_parts_change_nothing(value):
  probabilities, label = examples(30)
  whole = summarise(sums_of(probabilities, label, np.ones(30)))
  parts = []
  for start, stop in [(0, 7), (7, 30)]:
    padded = np.full((32, 4), value, np.float32)
    padded[: stop - start] = probabilities[start:stop]
    labels = np.resize(label[start:stop], 32)
    parts.append(sums_of(padded, labels, np.arange(32) < stop - start))
  added = summarise(jax.tree.map(lambda a, b: np.asarray(a) + np.asarray(b), *parts))
  error = whole["expected_calibration_error"]
  assert added["expected_calibration_error"] == pytest.approx(error, abs=1e-6)
  counts = [[b["examples"] for b in found["calibration"]] for found in (added, whole)]
  assert counts[0] == counts[1]


def test_certainty_and_edges():
  probabilities = np.float32([[1, 0], [1, 0], [0.6, 0.4], [0.8, 0.2]])  # 9/15 and 12/15
  found = summarise(sums_of(probabilities, np.int32([0, 1, 0, 0]), np.ones(4)))
  assert {m: b["examples"] for m, b in enumerate(found["calibration"]) if b["examples"]} == {
    8: 1,
    11: 1,
    14: 2,
  }
  assert found["calibration"][14]["confidence"] == 1 and found["calibration"][14]["accuracy"] == 0.5
  assert found["expected_calibration_error"] == pytest.approx((2 * 0.5 + 0.4 + 0.2) / 4)


def test_what_is_no_number_claims_nothing():
  probabilities, label = examples(20)
  alone = summarise(sums_of(probabilities[1:], label[1:], np.ones(19)))
  probabilities[0] = np.nan
  found = summarise(sums_of(probabilities, label, np.ones(20)))
  error = found["expected_calibration_error"]
  assert error == pytest.approx(alone["expected_calibration_error"], abs=1e-6)
  none = summarise(sums_of(np.full((3, 2), np.nan, np.float32), np.zeros(3, np.int32), np.ones(3)))
  assert np.isnan(none["expected_calibration_error"])
