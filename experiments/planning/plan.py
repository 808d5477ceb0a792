"""A plan for a 3-D U-Net from what is seen in the data, by nnU-Net's rules.

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods 18 (2021), and its supplement.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
  bytes: int
  reasons: dict[str, str]


def plan(seen: Seen, memory: int, width: int, cost: Callable[..., int]) -> Plan:
  """Returns the plan for a training in so much memory.

  Args:
    seen: of the training split.
    memory: in bytes.
    width: channels of the first level.
    cost: (tile, batch, widths) -> bytes that a step of the training needs.

  Raises: UserError where not even the smallest window fits.
  """
  reasons: dict[str, str] = {}
  spacing = _spacing(seen, reasons)
  sizes = np.maximum(1, np.round(seen.sizes * seen.spacings / spacing))
  middle = np.median(sizes, 0)
  tile, widths = _tile(middle, width)
  reasons["data.tile"] = (
    f"volumes have {_by(middle)} voxels at that spacing, the median; {len(widths)} levels halve "
    f"sides that are multiples of {2 ** (len(widths) - 1)}"
  )
  whole = tile
  while cost(tile, LEAST_BATCH, widths) > memory:
    tile, widths = _smaller(tile, middle, width)
  if tile != whole:
    reasons["data.tile"] += (
      f"; {_by(whole)} would need {gib(cost(whole, LEAST_BATCH, _widths(whole, width)))}, so the "
      "side that is largest beside its volume's was made smaller until it fits"
    )
  batch, most = LEAST_BATCH, SHARE * sizes.prod(1).sum() / np.prod(tile)
  while batch < min(MOST_BATCH, most) and cost(tile, batch + 1, widths) <= memory:
    batch += 1
  needed = cost(tile, batch, widths)
  reasons["data.batch_size"] = f"a step needs about {gib(needed)} of {gib(memory)}" + (
    "" if batch < most else f"; more would see above {SHARE:.0%} of all voxels in a step"
  )
  reasons["model.arguments.widths"] = (
    f"{width} channels, doubled at each level to at most {WIDEST}; another level would have a side "
    f"below {SMALLEST}"
    if len(widths) < DEEPEST
    else f"{width} channels, doubled at each level to at most {WIDEST}; {DEEPEST} levels at most"
  )
  normalize = "all" if seen.ct else "each"
  reasons["data.normalize"] = (
    f"CT, since {seen.ct}: values mean the same in all volumes; objects have {seen.low:.4g} to "
    f"{seen.high:.4g} (percentiles 0.5 and 99.5), {seen.mean:.4g} on average"
    if seen.ct
    else f"values are of no scale (the lowest are {seen.lowest.min():.4g} to "
    f"{seen.lowest.max():.4g}), so each volume is brought to mean 0 and deviation 1"
  )
  return Plan(spacing, normalize, tile, batch, widths, needed, reasons)


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


def _tile(middle: np.ndarray, width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """Returns the window that covers the median volume, and the levels' channels."""
  step = 2 ** (_depth(middle) - 1)
  tile = tuple(int(max(SMALLEST, -(-side // step) * step)) for side in middle)
  return tile, _widths(tile, width)


def _smaller(tile: tuple[int, ...], middle: np.ndarray, width: int) -> tuple[tuple, tuple]:
  """Returns a window one step smaller along the side that covers most of the volume's."""
  step = 2 ** (_depth(tile) - 1)
  axes = [n for n in np.argsort(-np.asarray(tile) / middle) if tile[n] - step >= SMALLEST]
  if not axes:
    raise UserError(
      f"not even a window of {_by(tile)} voxels fits into the memory; give more by --memory, or "
      "make the network narrower by --width"
    )
  tile = tuple(side - step if n == axes[0] else side for n, side in enumerate(tile))
  return tile, _widths(tile, width)


def _depth(sides: Sequence[float]) -> int:
  """Returns the number of levels by which the smallest side is halved to `SMALLEST`."""
  depth = 1
  while depth < DEEPEST and min(sides) / 2**depth >= SMALLEST:
    depth += 1
  return depth


def _widths(sides: Sequence[float], width: int) -> tuple[int, ...]:
  return tuple(min(WIDEST, width * 2**n) for n in range(_depth(sides)))


def gib(count: float) -> str:
  """Returns a number of bytes in words."""
  return f"{count / 2**30:.3g} GiB"


def _by(sides: Sequence[float]) -> str:
  return "x".join(f"{side:.4g}" for side in sides)
