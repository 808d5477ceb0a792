"""Correlated regions: the group is in the courses of both, and not in any of the volumes."""

import numpy as np
import pytest
from scipy import stats

from cnnjax.data import correlated_regions
from cnnjax.data.correlated_regions import GROUPS, LAG, REGIONS, courses, lagged_correlation
from cnnjax.errors import UserError
from cnnjax.ops.volume_series import VolumeSeriesPreprocessing


def load(examples, length=None, seed=0, **options):
  to = VolumeSeriesPreprocessing(length=length)
  splits = correlated_regions.load("", seed, to=to, examples=examples, **options)
  return {split: [*table.columns.values()] for split, table in splits.items()}


def test_the_lagged_correlation_is_the_answer():
  splits = load(300)
  for series, label in splits.values():
    assert series.shape == (300, 32, 8, 10, 8, 1) and series.dtype == np.float32
    assert np.bincount(label).tolist() == [150] * len(GROUPS)
    found = lagged_correlation(series)
    assert ((found > 0) == label).all()
    # The noise of 27 voxels lies over amplitudes A of 0.5 to 1.5, and hides a part of r = 0.8.
    seen = np.mean([amplitude / np.hypot(amplitude, 27**-0.5) for amplitude in (0.5, 1, 1.5)])
    assert np.abs(found).mean() == pytest.approx(0.8 * seen**2, abs=0.03)
  first, other = (splits[split][0] for split in ("train", "test"))
  assert abs(np.corrcoef(first[:4].ravel(), other[:4].ravel())[0, 1]) < 0.1
  np.testing.assert_array_equal(load(300)["test"][0], other)


def test_no_volume_tells_the_group():
  """One moment's volumes have one distribution in both groups, and any moment's have it."""
  moments, label = [], []
  for seed in range(3):
    series, labels = load(4000, length=3, seed=seed, test_examples=1)["train"]
    moments.append(np.stack(courses(series), -1)[:, -1])  # b of the last step knows a of the first
    label.append(labels)
  a, b = np.concatenate(moments).T
  label = np.concatenate(label)
  for seen in (a, b, a + b, a - b, a * b, np.abs(a) - np.abs(b)):
    assert stats.ks_2samp(*(seen[label == group] for group in (0, 1))).pvalue > 1e-3
  assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(len(a))


def test_each_region_alone_is_white_noise():
  """Its own lagged correlation says nothing either: the groups differ in the two of them."""
  series, label = load(1000, noise=0.0, test_examples=1)["train"]
  for course in courses(series):
    own = np.mean(course[:, LAG:] * course[:, :-LAG], 1) / course.var(1)
    means = [own[label == group] for group in (0, 1)]
    assert stats.ttest_ind(*means).pvalue > 1e-3
    assert abs(own.mean()) < 4 * own.std() / np.sqrt(len(own))


def test_only_the_regions_move_without_noise():
  series, _ = load(4, noise=0.0, correlation=1.0)["test"]
  still = np.ones(series.shape[2:5], bool)
  for place in REGIONS:
    still[place] = False
  assert not series[:, :, still].any() and still.sum() == 8 * 10 * 8 - 2 * 27
  np.testing.assert_allclose(np.abs(lagged_correlation(series)), 1, atol=1e-5)


@pytest.mark.parametrize(
  "options, sentence",
  [
    (dict(examples=0), "examples must be at least 1; found 0"),
    (dict(examples=4, correlation=1.5), "correlation must be above 0 and at most 1; found 1.5"),
  ],
)
def test_wrong_arguments(options, sentence):
  with pytest.raises(UserError, match=sentence):
    load(**options)
