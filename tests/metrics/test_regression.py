"""Sums and figures of regression against scikit-learn's."""

import warnings

import jax
import numpy as np
import pytest
from sklearn import metrics as sklearn

from cnnjax.metrics.regression import summarise, sums

sums_of = jax.jit(sums)


def examples(count, targets=3, seed=0):
  rng = np.random.default_rng(seed)
  target = rng.normal(size=(count, targets)).astype(np.float32)
  prediction = 0.7 * target + rng.normal(0, 0.5, (count, targets)).astype(np.float32)
  return prediction.astype(np.float32), target


def ones(count):
  return np.ones(count, np.float32)


def check(figures, prediction, target):
  """Asserts that figures are those that scikit-learn finds."""
  pair = target.astype(np.float64), prediction.astype(np.float64)
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of R2 from one example
    wanted = {
      "mae": sklearn.mean_absolute_error(*pair, multioutput="raw_values"),
      "rmse": sklearn.root_mean_squared_error(*pair, multioutput="raw_values"),
      "r2": [sklearn.r2_score(*of_one) for of_one in zip(pair[0].T, pair[1].T)],
    }
  assert figures["examples"] == len(target)
  for name, want in wanted.items():
    found = [row[name] for row in figures["per_target"]]
    np.testing.assert_allclose(np.float64(found), want, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(figures[name], np.mean(want), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("count", "targets"), [(1, 2), (2, 1), (13, 3), (300, 5)])
def test_figures_are_those_of_scikit_learn(count, targets):
  prediction, target = examples(count, targets)
  check(summarise(sums_of(prediction, target, ones(count))), prediction, target)


@pytest.mark.parametrize("value", [0, 1e30, np.nan, np.inf])
def test_sums_add_over_padded_batches(value):
  prediction, target = examples(90)
  parts = []
  for a, b in ((0, 11), (11, 40), (40, 90)):
    padded = [np.full((64, 3), value, np.float32) for _ in range(2)]
    for whole, pad in zip((prediction, target), padded):
      pad[: b - a] = whole[a:b]
    parts.append(sums_of(*padded, (np.arange(64) < b - a).astype(np.float32)))
  check(summarise(jax.tree.map(lambda *v: np.sum(np.stack(v), 0), *parts)), prediction, target)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7])
@pytest.mark.parametrize("right", [True, False])
def test_a_target_that_never_changes(value, right):
  target = np.full((37, 1), value, np.float32)
  prediction = target if right else examples(37, 1)[0]
  check(summarise(sums_of(prediction, target, ones(37))), prediction, target)


def test_units_scale_errors_and_leave_r2():
  prediction, target = examples(40)
  plain, scaled = (
    summarise(sums_of(prediction, target, ones(40)), unit) for unit in ((1.0,), (2.0, 100.0, 1e-3))
  )
  for one, other, unit in zip(plain["per_target"], scaled["per_target"], (2.0, 100.0, 1e-3)):
    assert other["mae"] == pytest.approx(unit * one["mae"])
    assert other["rmse"] == pytest.approx(unit * one["rmse"])
    assert other["r2"] == one["r2"]


def test_what_is_no_number_is_no_figure():
  prediction, target = examples(20, 2)
  prediction[3, 0] = np.nan
  figures = summarise(sums_of(prediction, target, ones(20)))
  assert figures["per_target"][0] == {"mae": None, "rmse": None, "r2": None}
  assert figures["per_target"][1]["r2"] > 0 and np.isnan(figures["r2"])
