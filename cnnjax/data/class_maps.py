"""What looks wrong in maps of ids: they hold classes, or a ground, in place of objects."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEW = 3  # maps, of which nothing can be said by what they share
SPECK = 0.02  # part of an object below which a piece of it does not count


class Region(NamedTuple):
  """The pixels of one id in one map: in how many pieces, and at how many of the four borders."""

  number: int
  pieces: int
  borders: int


def regions(ids: np.ndarray) -> list[Region]:
  """Returns the region of each id but 0 of a map, integers [H, W]."""
  from scipy.ndimage import find_objects, label

  found = []
  for number, place in enumerate(find_objects(ids), 1):
    if place is not None:
      rows, columns = place
      pieces, _ = label(ids[place] == number, np.ones((3, 3)))
      sizes = np.bincount(pieces.ravel())[1:]
      large = int((sizes >= max(2, SPECK * sizes.sum())).sum())
      height, width = ids.shape
      borders = (rows.start == 0, rows.stop == height, columns.start == 0, columns.stop == width)
      found.append(Region(number, max(1, large), sum(borders)))
  return found


def doubts(maps: Sequence[Sequence[Region]]) -> list[str]:
  """Returns what looks wrong in some maps' regions, a phrase for each; none where all is well.

  Objects are mostly one piece each: 14,097 of 14,100 nuclei are. A class is in many pieces, or the
  same few numbers are in all maps; a ground reaches all four borders.
  """
  every, of_id = [r for regions in maps for r in regions], defaultdict(list)
  for region in every:
    of_id[region.number].append(region)
  found = []
  apart = [r for r in every if r.pieces > 1]
  if len(apart) >= max(2, 0.2 * len(every)):
    most = max(apart, key=lambda r: r.pieces)
    found.append(
      f"{len(apart)} of {len(every)} objects are in several pieces, one (id {most.number}) in "
      f"{most.pieces}"
    )
  if len(maps) < FEW:
    return found
  sets = [frozenset(r.number for r in regions) for regions in maps]
  common = max(set(sets), key=sets.count)
  if sets.count(common) >= 0.9 * len(maps) and len(common) > 1 and max(common) > len(common):
    found.append(f"the same ids {_listed(common)} are in {sets.count(common)} of {len(maps)} maps")
  frequent = {n: rs for n, rs in of_id.items() if len(rs) >= max(FEW, 0.8 * len(maps))}
  ground = [n for n, rs in frequent.items() if sum(r.borders == 4 for r in rs) >= 0.8 * len(rs)]
  if ground:
    found.append(f"id {_listed(ground)} reaches all four borders in nearly every map, as a ground")
  torn = [n for n, rs in frequent.items() if 2 * sum(r.pieces > 1 for r in rs) > len(rs)]
  if torn and not found:
    found.append(f"id {_listed(torn)} is in nearly every map, and mostly in several pieces")
  return found


def _listed(numbers: Sequence[int] | frozenset[int]) -> str:
  first = ", ".join(map(str, sorted(numbers)[:8]))
  return first + (", ..." if len(numbers) > 8 else "")
