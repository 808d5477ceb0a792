"""The objects in tensorflow-datasets' detection sets, as columns of boxes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data.boxes import Box, Example, columns
from cnnjax.errors import UserError

FLAGS = {"is_difficult": "difficult", "is_crowd": "crowd", "is_group_of": "crowd"}  # tfds's: ours


def is_objects(feature: Any) -> bool:
  """Returns whether a feature is a sequence of boxes with labels, such as `objects` of voc."""
  return isinstance(feature.shape, Mapping) and {"bbox", "label"} <= feature.shape.keys()


def boxes(
  feature: Any,
  records: Sequence[Mapping[str, Sequence[Any]]],
  sizes: Sequence[tuple[int, int]],
  target: tuple[int, int],
  places: int,
  name: Callable[[int], str],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
  """Returns the columns of `boxes.tables` other than the images, and the names of the classes.

  Args:
    feature: tfds's feature of the objects.
    records: for each image, with an entry for each object: `bbox` (ymin, xmin, ymax, xmax, from 0
      to 1), `label`, and maybe one of `FLAGS`.
    sizes: (height, width) of each image as read.
    target: (height, width) of the table's images.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    name: n -> the name of the n-th record, for error messages.

  Raises: UserError for labels without names, and for an image with more boxes than `places`.
  """
  names = getattr(feature["label"], "names", None)
  if not names:
    raise UserError(f"the objects of {name(0)} have labels without names; expected a ClassLabel")
  key = next((key for key in FLAGS if key in feature.shape), "")
  examples = []
  for n, record in enumerate(records):
    flags = record[key] if key else [False] * len(record["label"])
    areas = record["area"] if "area" in feature.shape else [None] * len(record["label"])  # coco's
    found = [
      Box((x0, y0, x1, y1), names[label], bool(flag), area=area)
      for (y0, x0, y1, x1), label, flag, area in zip(record["bbox"], record["label"], flags, areas)
    ]
    examples.append(Example(Path(), found, None, name(n), parts=True))
  flag, sizes = FLAGS.get(key, "difficult"), np.asarray(sizes, np.int32)
  found = columns(examples, tuple(names), places, sizes, target, flag)
  return {"size": sizes, **found}, tuple(names)
