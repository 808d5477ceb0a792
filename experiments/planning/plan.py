"""A plan for a 3-D U-Net from what is seen in the data, by nnU-Net's rules.

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods 18 (2021), and its supplement.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cnnjax.errors import UserError

from .seen import Seen

ANISOTROPIC = 3.0  # the coarsest axis is so many times as coarse as the next: it is resampled finer
COARSE = 10  # percentile of its spacings that is taken then
SMALLEST = 4  # voxels of the smallest map's sides, at least
DEEPEST, WIDEST = 6, 320  # levels and channels, at most
LEAST_BATCH, MOST_BATCH = 2, 32
SHARE = 0.05  # of all voxels of the training split that a batch sees, at most


@dataclass(frozen=True)
class Plan:
  """What a config says, and why: `reasons` by the names of the keys."""

  spacing: tuple[float, float, float]
  normalize: str
  tile: tuple[int, int, int]
  batch: int
  widths: tuple[int, ...]
  pools: tuple[tuple[int, int, int], ...]
  bytes: int
  reasons: dict[str, str]


def plan(seen: Seen, memory: int, width: int, cost: Callable[..., int]) -> Plan:
  """Returns the plan for a training in so much memory.

  Args:
    seen: of the training split.
    memory: in bytes.
    width: channels of the first level.
    cost: (tile, batch, widths, pools) -> bytes that a step of the training needs.

  Raises: UserError where not even the smallest window fits.
  """
  reasons: dict[str, str] = {}
  spacing = _spacing(seen, reasons)
  sizes = np.maximum(1, np.round(seen.sizes * seen.spacings / spacing))
  middle = np.median(sizes, 0)
  pools = _pools(middle, spacing)
  tile = tuple(int(-(-side // n) * n) for side, n in zip(middle, np.prod(pools, 0, int)))
  reasons["data.tile"] = f"volumes have {_by(middle)} voxels at that spacing, the median"
  whole, needed = tile, partial(_needed, width=width, spacing=spacing, cost=cost)
  while needed(tile, LEAST_BATCH) > memory:
    tile = _smaller(tile, middle, spacing)
  if tile != whole:
    reasons["data.tile"] += (
      f"; {_by(whole)} would need {gib(needed(whole, LEAST_BATCH))}, so the side that covers most "
      "of its volume's was made smaller until it fits"
    )
  pools = _pools(tile, spacing)
  batch, most = LEAST_BATCH, SHARE * sizes.prod(1).sum() / np.prod(tile)
  while batch < min(MOST_BATCH, most) and needed(tile, batch + 1) <= memory:
    batch += 1
  reasons["data.batch_size"] = f"a step needs about {gib(needed(tile, batch))} of {gib(memory)}" + (
    "" if batch < most else f"; more would see above {SHARE:.0%} of all voxels in a step"
  )
  widths = _widths(pools, width)
  reasons["model.arguments.widths"] = (
    f"{width} channels, doubled at each level to at most {WIDEST}; {len(pools)} poolings leave "
    f"sides of {_by(np.asarray(tile) / np.prod(pools, 0))}, of at least {SMALLEST}"
    + ("" if len(widths) < DEEPEST else f"; {DEEPEST} levels at most")
  )
  if any(1 in pool for pool in pools):
    reasons["model.arguments.widths"] += "; coarse axes are pooled later than the others"
  normalize = "all" if seen.ct else "each"
  reasons["data.normalize"] = (
    f"CT, since {seen.ct}: values mean the same in all volumes; objects have {seen.low:.4g} to "
    f"{seen.high:.4g} (percentiles 0.5 and 99.5), {seen.mean:.4g} on average"
    if seen.ct
    else f"values are of no scale (the lowest are {seen.lowest.min():.4g} to "
    f"{seen.lowest.max():.4g}), so each volume is brought to mean 0 and deviation 1"
  )
  return Plan(spacing, normalize, tile, batch, widths, pools, needed(tile, batch), reasons)


def _spacing(seen: Seen, reasons: dict[str, str]) -> tuple[float, float, float]:
  """Returns the median spacing; along an axis that is far coarser than the others, a finer one."""
  spacing = np.median(seen.spacings, 0)
  low, high = seen.spacings.min(0), seen.spacings.max(0)
  reasons["data.spacing"] = f"the median, in millimetres; they are from {_by(low)} to {_by(high)}"
  axis = int(spacing.argmax())
  others = np.delete(np.median(seen.sizes, 0), axis)
  if (
    spacing[axis] > ANISOTROPIC * np.delete(spacing, axis).max()
    and ANISOTROPIC * np.median(seen.sizes[:, axis]) < others.min()
  ):
    spacing[axis] = max(
      np.percentile(seen.spacings[:, axis], COARSE), np.delete(spacing, axis).max()
    )
    reasons["data.spacing"] += (
      f"; along axis {axis}, which is more than {ANISOTROPIC:g} times as coarse as the others, "
      f"percentile {COARSE}"
    )
  return tuple(round(float(mm), 4) for mm in spacing)


def _needed(tile, batch, *, width, spacing, cost) -> int:
  pools = _pools(tile, spacing)
  return cost(tile, batch, _widths(pools, width), pools)


def _smaller(
  tile: tuple[int, ...], middle: np.ndarray, spacing: Sequence[float]
) -> tuple[int, ...]:
  """Returns a window one step smaller along the side that covers most of the volume's."""
  steps = np.prod(_pools(tile, spacing), 0, int)
  order = np.argsort(-np.asarray(tile) / middle)
  axes = [n for n in order if tile[n] - steps[n] >= min(SMALLEST, middle[n])]
  if not axes:
    raise UserError(
      f"not even a window of {_by(tile)} voxels fits into the memory; give more by --memory, or "
      "make the network narrower by --width"
    )
  return tuple(int(side - steps[n] * (n == axes[0])) for n, side in enumerate(tile))


def _pools(sides: Sequence[float], spacing: Sequence[float]) -> tuple[tuple[int, ...], ...]:
  """Returns the poolings: of axes whose maps stay large enough, and that are not yet far coarser.

  An axis of coarse slices waits until the others are as coarse.
  """
  sides, spacing, found = np.asarray(sides, float), np.asarray(spacing, float), []
  while len(found) < DEEPEST - 1:
    large = sides >= 2 * SMALLEST
    if not large.any():
      break
    pool = np.where(large & (spacing < 2 * spacing[large].min()), 2, 1)
    sides, spacing = sides / pool, spacing * pool
    found.append(tuple(pool.tolist()))
  return tuple(found) or ((1, 1, 1),)


def _widths(pools: Sequence, width: int) -> tuple[int, ...]:
  return tuple(min(WIDEST, width * 2**n) for n in range(len(pools) + 1))


def gib(count: float) -> str:
  """Returns a number of bytes in words."""
  return f"{count / 2**30:.3g} GiB"


def _by(sides: Sequence[float]) -> str:
  return "x".join(f"{side:.4g}" for side in sides)
