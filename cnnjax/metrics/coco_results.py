"""A detector's answers in the format of COCO's files."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnjax.metrics.coco import encode


def pack(mask: np.ndarray) -> dict[str, Any]:
  """Returns COCO's run-length encoding of a mask [H, W], of probabilities or 0 and 1, as JSON."""
  found = encode(np.asarray(mask) > 0.5)
  return {"size": [int(n) for n in found["size"]], "counts": found["counts"].decode()}


def unpack(mask: dict[str, Any]) -> np.ndarray:
  """Returns the mask uint8 [H, W] that `pack` encoded."""
  from faster_coco_eval import mask as coder

  return coder.decode(mask)


def area(mask: dict[str, Any]) -> int:
  """Returns the number of pixels of a mask that `pack` encoded."""
  from faster_coco_eval import mask as coder

  return int(coder.area(mask))


def results(answers: Sequence[dict[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
  """Returns answers as COCO's JSON: images, categories, and annotations with scores.

  Images and categories are numbered from 1, in their order. The annotations alone have COCO's
  format of results.

  Args:
    answers: each with file, size (height, width), boxes [K, 4], labels [K] and scores [K], and
      maybe K masks from `pack`.
    classes: names of the labels.
  """
  rows = []
  for number, answer in enumerate(answers, 1):
    masks = answer.get("masks") or [None] * len(answer["boxes"])
    each = zip(answer["boxes"], answer["labels"], answer["scores"], masks)
    for (x0, y0, x1, y1), label, score, mask in each:
      box = [x0, y0, x1 - x0, y1 - y0]
      row = {"id": 1 + len(rows), "image_id": number, "category_id": 1 + label, "bbox": box}
      row |= {"score": score, "iscrowd": 0, "area": area(mask) if mask else box[2] * box[3]}
      rows.append(row | ({"segmentation": mask} if mask else {}))
  images = [
    {"id": number, "file_name": answer["file"], "height": height, "width": width}
    for number, answer in enumerate(answers, 1)
    for height, width in [answer["size"]]
  ]
  categories = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
  return {"images": images, "categories": categories, "annotations": rows}
