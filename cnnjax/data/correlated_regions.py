"""Series of volumes of two groups that differ in the correlation over time of two regions.

a(t) is the course of one region and b(t) that of the other. a is white Gaussian noise, and

  b(t) = s r a(t - 2) + sqrt(1 - r^2) e(t),    s = 1 or -1, the group,

with e white Gaussian noise of its own: the two regions correlate by s r, at a lag of two steps.
Without the lag single moments would tell the groups apart, since a(t) and b(t) would have the same
sign more often in one of them. With it a(t) and b(t) are independent, of mean 0 and deviation 1, at
every moment and in both groups: a(t - 2), through which alone b(t) knows s, is not in the volume of
moment t, and has as often either sign. So volumes have one distribution in both groups, and each
region by itself is white noise in both: only the two of them over time tell.

Functional connectivity is such a correlation, mostly looked at without a lag; that the activity of
regions follows that of others with lags is known too (Raut et al. 2019, doi:10.1093/cercor/bhz198).
"""

import numpy as np

from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.volume_series import VolumeSeriesPreprocessing

SIZE, STEPS, LAG = (8, 10, 8), 32, 2  # voxels of a volume; of a series, and of b behind a
GROUPS = ("negative", "positive")  # signs of the correlation
REGIONS = np.s_[2:5, 1:4, 1:4], np.s_[3:6, 6:9, 4:7]  # of a and of b
AMPLITUDES = (0.5, 1.5)  # least and largest of a region, drawn for each series


def load(
  root: str,
  seed: int,
  *,
  to: VolumeSeriesPreprocessing,
  examples: int = 1000,
  test_examples: int = 0,
  correlation: float = 0.8,
  noise: float = 1.0,
) -> dict[str, Table]:
  """Returns series float32 [N, T, 8, 10, 8, 1] with the sign of the correlation, half of each.

  Args:
    root: not used.
    seed: of all that is drawn.
    to: the run's preprocessing, whose length is that of the series, by default 32.
    examples: of the training split.
    test_examples: of the test split; 0: as many.
    correlation: r, above 0 and at most 1.
    noise: deviation of Gaussian noise that is added to each voxel at each step; the course of a
      region has one of 0.5 to 1.5.

  Raises: UserError for no examples, and a correlation that is none.
  """
  del root
  if examples < 1 or test_examples < 0:
    raise UserError(f"data.arguments.examples must be at least 1; found {examples}")
  if not 0 < correlation <= 1:
    raise UserError(
      f"data.arguments.correlation must be above 0 and at most 1; found {correlation}"
    )
  counts = {"train": examples, "test": test_examples or examples}
  steps = to.length or STEPS
  return {
    split: _split(count, steps, correlation, noise, np.random.default_rng([seed, place]))
    for place, (split, count) in enumerate(counts.items())
  }


def _split(
  count: int, steps: int, correlation: float, noise: float, rng: np.random.Generator
) -> Table:
  label = rng.permutation(np.arange(count) % 2).astype(np.int32)
  long = rng.normal(size=(count, steps + LAG))
  a, before = long[:, LAG:], long[:, :-LAG]
  own = np.sqrt(1 - correlation**2) * rng.normal(size=(count, steps))
  b = correlation * (2 * label[:, None] - 1) * before + own
  series = noise * rng.standard_normal((count, steps, *SIZE), np.float32)
  for place, course in zip(REGIONS, (a, b)):
    course = course * rng.uniform(*AMPLITUDES, (count, 1))
    series[:, :, *place] += course[..., None, None, None].astype(np.float32)
  return Table({"volume_series": series[..., None], "label": label}, GROUPS)


def courses(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the means [N, T] of the two regions in series [N, T, 8, 10, 8, 1]."""
  a, b = (series[:, :, *place].mean((2, 3, 4, 5)) for place in REGIONS)
  return a, b


def lagged_correlation(series: np.ndarray, lag: int = LAG) -> np.ndarray:
  """Returns each series' correlation [N] of b(t) with a(t - lag); its sign is the known answer."""
  a, b = courses(series)
  a, b = a[:, : a.shape[1] - lag], b[:, lag:]
  a, b = (course - course.mean(1, keepdims=True) for course in (a, b))
  return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
