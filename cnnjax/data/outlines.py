"""Masks as COCO writes them: polygons and run lengths, checked before anything is drawn."""

from typing import Any

import numpy as np

from cnnjax.data.names import shown
from cnnjax.errors import UserError

LONGEST = 10**7  # pixels of an outline: drawing takes memory for each of them


def checked(segmentation: Any, size: tuple[int, int], where: str) -> tuple[Any, int]:
  """Returns what can be drawn in an image of (height, width), and how many polygons are left out.

  Args:
    segmentation: polygons [[x, y, ...], ...], of which those of fewer than three points are left
      out; or run lengths {"size": [H, W], "counts": [...] or text}. What is empty is no mask: None.
    size: (height, width) of the image.
    where: the annotation, for error messages.

  Raises: UserError for anything else: an odd number of coordinates, one that is not finite, an
    outline of more than `LONGEST` pixels, run lengths of another image's size.
  """
  if not segmentation:
    return None, 0
  if isinstance(segmentation, dict):
    return _run_lengths(segmentation, size, where), 0
  if not isinstance(segmentation, list) or not all(isinstance(p, list) for p in segmentation):
    raise UserError(
      f"{where}: its segmentation is {shown(segmentation)}; expected polygons "
      "[[x, y, x, y, ...], ...] or run lengths"
    )
  points = [_points(polygon, where) for polygon in segmentation]
  good = [p.ravel().tolist() for p in points if len(p) > 2]
  return good or None, len(points) - len(good)


def _points(polygon: list[Any], where: str) -> np.ndarray:
  """Returns the points [K, 2] of a polygon [x, y, x, y, ...]."""
  try:
    numbers = np.asarray(polygon) if polygon else np.zeros(0)
  except (ValueError, OverflowError):  # lists of several lengths
    numbers = np.zeros(0, object)
  if numbers.ndim != 1 or numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
    raise UserError(f"{where}: its polygon {shown(polygon)} must hold finite numbers alone")
  if len(numbers) % 2:
    raise UserError(
      f"{where}: its polygon has {len(numbers)} numbers; expected an x and a y for each point"
    )
  points = numbers.astype(np.float64).reshape(-1, 2)
  if len(points) and len(points) * np.ptp(points, 0).max() > LONGEST < _length(points):
    raise UserError(f"{where}: its polygon is more than {LONGEST:,} pixels long")
  return points


def _length(points: np.ndarray) -> float:
  """Returns how many pixels the outline through the points [K, 2] has."""
  return np.abs(np.roll(points, 1, 0) - points).max(1).sum()


def _run_lengths(code: dict[str, Any], size: tuple[int, int], where: str) -> dict[str, Any]:
  """Returns run lengths once their size is the image's, and they are numbers that add up to it."""
  if code.get("size") != list(size):
    raise UserError(
      f"{where}: its run lengths are of size {shown(code.get('size'))}; expected the image's "
      f"{list(size)} (height, width)"
    )
  counts, numbers = code.get("counts"), None
  if isinstance(counts, str):
    numbers = _expand(counts)
  elif isinstance(counts, list) and counts and set(map(type, counts)) == {int}:
    numbers = np.asarray(counts, object)  # sums of any size
  if numbers is None or min(numbers, default=0) < 0 or sum(numbers.tolist()) != size[0] * size[1]:
    raise UserError(
      f"{where}: the counts of its run lengths, {shown(counts)}, must be whole numbers of a sum of "
      f"{size[0]} x {size[1]}, the image's pixels, or COCO's compressed form of them"
    )
  return {"size": list(size), "counts": counts}


def _expand(text: str) -> np.ndarray | None:
  """Returns the run lengths in COCO's compressed form, or None where it is none.

  A letter holds five bits of a number, low ones first, and whether another letter follows; from the
  fourth number on, it is the difference to the number two places before.
  """
  codes = np.asarray([*text.encode("utf-8", "replace")], np.int64) - 48
  if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
    return None
  ends = np.flatnonzero((codes & 32) == 0)
  starts = np.concatenate([[0], ends[:-1] + 1])
  lengths = ends - starts + 1
  if lengths.max() > 7:  # 35 bits: more than any image's pixels
    return None
  place = np.arange(len(codes)) - np.repeat(starts, lengths)
  numbers = np.add.reduceat((codes & 31) << (5 * place), starts)
  numbers -= ((codes[ends] & 16) > 0) * (1 << (5 * lengths))
  numbers[1::2], numbers[2::2] = np.cumsum(numbers[1::2]), np.cumsum(numbers[2::2])
  return numbers


def encoded(segmentation: Any, height: int, width: int, where: str) -> dict[str, Any]:
  """Returns the compressed run lengths of a segmentation that was `checked`.

  Raises: UserError with the annotation's name where it cannot be drawn.
  """
  from faster_coco_eval import mask as coder

  code = segmentation
  try:
    if isinstance(code, list):
      return coder.merge(coder.frPyObjects(code, height, width))
    return coder.frPyObjects(code, height, width) if isinstance(code["counts"], list) else code
  except Exception as error:  # of any kind: it comes from a program in C++
    raise UserError(f"{where}: its segmentation cannot be drawn: {error}") from error


def decoded(code: dict[str, Any], height: int, width: int) -> np.ndarray:
  """Returns the mask bool [H, W] of compressed run lengths."""
  from faster_coco_eval import mask as coder

  assert code["size"] == [height, width]
  return coder.decode(code).astype(bool)


def draw(segmentation: Any, where: str, height: int, width: int) -> np.ndarray:
  """Returns the mask bool [H, W] of a segmentation that was `checked`. Raises: as `encoded`."""
  return decoded(encoded(segmentation, height, width, where), height, width)
