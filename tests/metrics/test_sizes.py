"""Sizes of regions against scikit-learn's figures and counts by hand."""

import numpy as np
from sklearn.metrics import mean_absolute_percentage_error, r2_score

from cnnjax.metrics.sizes import sizes, summarise
from cnnjax.ops.segmentation import VOID

RNG = np.random.default_rng(0)


def rows(count=6):
  """Returns an evaluation's rows of volumes of several sizes; the last is padding."""
  shapes = RNG.integers(4, 8, (count, 3)).tolist()
  found = {key: [RNG.integers(0, 3, s, np.uint8) for s in shapes] for key in ("segments", "truth")}
  found["truth"][1][0] = VOID
  mask = np.ones(count, np.float32)
  mask[-1] = 0
  return {**found, "spacing": RNG.uniform(0.5, 2, (count, 3)), "mask": mask}


def test_sizes_are_in_the_units_of_the_spacing():
  of = rows()
  found, true = sizes(of, 3)
  assert found.shape == true.shape == (5, 3)
  known = of["truth"][1] != VOID
  voxel = np.prod(of["spacing"][1])
  for kind in range(3):
    assert true[1, kind] == voxel * (of["truth"][1] == kind).sum()
    assert np.isclose(found[1, kind], voxel * (of["segments"][1][known] == kind).sum())


def test_figures_are_scikit_learns():
  of = rows()
  found, true = sizes(of, 3)
  for kind, figures in enumerate(summarise(of, 3)):
    error = mean_absolute_percentage_error(true[:, kind], found[:, kind])
    np.testing.assert_allclose(figures["size_error"], error)
    np.testing.assert_allclose(figures["size_r2"], r2_score(true[:, kind], found[:, kind]))


def test_a_class_that_is_nowhere_has_no_figures():
  assert summarise(rows(), 4)[3] == {"size_error": None, "size_r2": None}
