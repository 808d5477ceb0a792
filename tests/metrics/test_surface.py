"""Distances of surfaces against SciPy's, and against loops over all pairs of pixels."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist, directed_hausdorff

from cnnjax.metrics import surface

RNG = np.random.default_rng(0)
SHAPES = [((30, 41), (1.0, 1.0)), ((25, 30), (0.7, 2.5)), ((12, 15, 14), (3.0, 0.5, 1.2))]


def blob(*shape):
  """Returns a region of several pieces, some at the border."""
  smooth = gaussian_filter(RNG.normal(size=shape), 2)
  return smooth > np.quantile(smooth, 0.7)


def points(region, spacing):
  """Returns the places of a region's surface: pixels with a neighbour outside, by a loop."""
  found = []
  for place in np.argwhere(region):
    for axis in range(region.ndim):
      for step in (-1, 1):
        other = place.copy()
        other[axis] += step
        inside = 0 <= other[axis] < region.shape[axis] and region[tuple(other)]
        if not inside:
          found.append(tuple(place))
  return np.asarray(sorted(set(found))) * spacing


@pytest.mark.parametrize(("shape", "spacing"), SHAPES)
def test_as_scipy_and_as_all_pairs(shape, spacing):
  one, two = blob(*shape), blob(*shape)
  apart = surface.distances(one, two, spacing)
  a, b = points(one, spacing), points(two, spacing)
  largest = max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])
  assert apart.hausdorff(100) == pytest.approx(largest, abs=1e-9)
  every = cdist(a, b)
  there, back = every.min(1), every.min(0)
  assert apart.hausdorff() == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
  assert 0 < apart.hausdorff() < apart.hausdorff(100)
  counted = RNG.random(shape) < 0.5
  some = surface.distances(one, two, spacing, counted)
  for found, from_all, places in ((some.there, there, a), (some.back, back, b)):
    chosen = counted[tuple(np.round(places / spacing).astype(int).T)]
    np.testing.assert_allclose(np.sort(found), np.sort(from_all[chosen]), atol=1e-6)
  precision, recall = (there <= 1.5).mean(), (back <= 1.5).mean()
  assert apart.f1(1.5) == pytest.approx(2 * precision * recall / (precision + recall))


def test_a_region_that_is_moved():
  one = np.zeros((40, 40), bool)
  one[10:20, 10:20] = True
  apart = surface.distances(np.roll(one, 4, 1), one, (1.0, 0.5))
  assert apart.hausdorff(100) == 2 and apart.f1(2) == 1
  same = surface.distances(one, one, (1, 1))
  assert same.hausdorff(100) == 0 and same.f1(0) == 1
  assert surface.distances(one, ~one & False, (1, 1)) is None


def test_classes_that_are_missing_and_void_pixels():
  truth = np.zeros((100, 100), np.uint8)
  truth[20:40, 20:40] = 1
  truth[60:80, 60:80] = 2
  found = truth.copy()
  found[:, 50:] = 0  # class 2 is missed
  found[5, 5] = 3
  rows = surface.figures(found, truth, (1.0, 1.0), 5)
  np.testing.assert_array_equal(rows["hd95"][1:], [0, np.nan, np.nan, np.nan])
  np.testing.assert_array_equal(rows["boundary_f1"][1:], [1, 0, 0, np.nan])
  found = truth.copy()
  found[17:43, 17:43] = 1  # too large by 3
  assert 3 <= surface.figures(found, truth, (1.0, 1.0), 2)["hd95"][1] < 18**0.5
  rim = truth.copy()
  rim[17:43, 17:43][truth[17:43, 17:43] == 0] = 255  # but only where nobody knows
  known = surface.figures(found, rim, (1.0, 1.0), 2)
  assert known["hd95"][1] == 0 and known["boundary_f1"][1] == 1
  found[10:50, 10:50] = 1  # it leaves the void rim, and 7 pixels more
  assert surface.figures(found, rim, (1.0, 1.0), 2)["hd95"][1] >= 7


def test_means_over_examples():
  truth = np.zeros((4, 60, 80), np.uint8)
  truth[:, 20:40, 20:40] = 1
  found = np.roll(truth, 5, 2)
  found[1] = 0
  mask, spacing = np.asarray([1, 1, 1, 0]), np.asarray([[1, 1], [1, 1], [1, 2], [9, 9]], np.float32)
  rows = {"segments": found, "truth": truth, "spacing": spacing, "mask": mask}
  figures = surface.summarise(rows, 3)
  each = figures["per_class"]
  assert each[1]["hd95"] == pytest.approx((5 + 10) / 2) and each[1]["missed"] == 1
  assert each[2] == {"hd95": None, "boundary_f1": None, "missed": 0}
  assert figures["missed"] == 1
  assert figures["hd95"] == pytest.approx((each[0]["hd95"] + each[1]["hd95"]) / 2)
