"""COCO's JSON files as class maps: the polygons of all objects, over a background."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.data.boxes import Box, Example
from cnnjax.data.coco_file import examples, find
from cnnjax.data.faults import attempt
from cnnjax.data.labels import listed
from cnnjax.data.segments import Pair, tables
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say, unknown
from cnnjax.ops.preprocess import Preprocessing
from cnnjax.ops.segmentation import VOID

GROUND = "background"


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  annotations: str = "annotations/instances_{split}2017.json",
  images: str = "{split}2017",
  classes: Sequence[str] = (),
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "",
) -> dict[str, Table]:
  """Returns image, size and segments of a COCO folder, as `segments.tables` does.

  The first class is "background", where no object is; where several objects are, the smallest one
  is seen. Crowds are void.

  Args:
    root: the folder that holds `annotations` and `images`.
    seed: of the test split, where there is no file of it.
    to: the run's preprocessing.
    annotations: the JSON file of each split, in which `{split}` stands for any spelling of a split.
      Without `{split}` it is the only file.
    images: the folder of each split's images, in which `{split}` stands for the same.
    classes: names in order, without the background; by default train's categories, by their ids.
    test: the part that becomes the test split, where there is none.
    on_error: "raise", or "skip" to leave out, and count, images with any fault in them or in one of
      their annotations.
    stream: "" to read all images at the start, "threads" or "processes" to read batch by batch.

  Objects without a mask, and polygons of fewer than three points, are left out, and counted on
  standard error.

  Raises: UserError for a file that is missing, and any error of `coco_file.examples` and
    `segments.tables`.
  """
  folder = Path(root).expanduser()
  splits, names, bare = {}, listed(classes), 0
  for split, (file, where) in find(root, annotations, images).items():
    own, found, few = examples(file, where, True, on_error)
    names = names or tuple(own)
    number = {name: place for place, name in enumerate(names, 1)}
    splits[split] = [
      one if isinstance(one, UserError) else attempt(partial(_pair, one, number, file), on_error)
      for one in found
    ]
    bare += few + sum(b.mask is None for e in found if isinstance(e, Example) for b in e.boxes)
  if bare:
    told = f"left out {bare} objects without a mask, or polygons of too few points, in {folder}"
    say(told)
  chosen = dict(test=test, on_error=on_error, stream=stream)
  return tables(folder, splits, seed, to=to, classes=(GROUND, *names), **chosen)


def _pair(example: Example, number: Mapping[str, int], file: Path) -> Pair:
  for box in example.boxes:
    if box.name not in number:
      raise unknown(f"class in {example.where}", box.name, number)
  return Pair(example.path, partial(drawn, example.boxes, example.size, number), file)


def drawn(boxes: Sequence[Box], size: tuple[int, int], number: Mapping[str, int]) -> np.ndarray:
  """Returns the class map uint8 [H, W] of objects' masks, the smaller ones over the larger ones.

  Args:
    boxes: with their masks.
    size: (height, width).
    number: the class of each name; 0 is the background.
  """
  masks = [(box.mask(*size), box) for box in boxes if box.mask is not None]
  found = np.zeros(size, np.uint8)
  for mask, box in sorted(masks, key=lambda one: -np.count_nonzero(one[0])):
    found[mask] = VOID if box.flag else number[box.name]
  return found
