"""Ragged columns, such as boxes, padded to a fixed number of entries for each image."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cnnjax.errors import UserError


def pack(
  rows: Sequence[Mapping[str, np.ndarray]], places: int, name: Callable[[int], str]
) -> dict[str, np.ndarray]:
  """Returns the rows of N images as columns [N, P, ...], and which entries are real, valid [N, P].

  Args:
    rows: for each of at least one image, arrays [K, ...] with the same K, among them `boxes`
      [K, 4].
    places: P; 0 for the largest K.
    name: n -> the name of the n-th image, for error messages.

  Raises: UserError for an image with more than P boxes, and for `places` that is no number.
  """
  if not isinstance(places, int) or places < 0:
    raise UserError(
      f"data.arguments.places must be a number of boxes, or 0 for all there are; found {places!r}"
    )
  counts = [len(row["boxes"]) for row in rows]
  most = max(counts)
  if places and most > places:
    raise UserError(
      f"{name(counts.index(most))} has {most} boxes; set data.arguments.places to {most} or more"
    )
  shape = (len(rows), places or max(most, 1))
  found = {key: np.zeros((*shape, *v.shape[1:]), v.dtype) for key, v in rows[0].items()}
  for n, row in enumerate(rows):
    for key, values in row.items():
      found[key][n, : len(values)] = values
  valid = np.arange(shape[1]) < np.asarray(counts)[:, None]
  return {**found, "valid": valid.astype(np.float32)}
