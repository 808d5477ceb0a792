"""A detector's answers in the format of COCO's files."""

from collections.abc import Iterable, Iterator, Sequence
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


def rows(answer: dict[str, Any], image: int, categories: Sequence[int]) -> Iterator[dict[str, Any]]:
  """Yields an answer's detections in COCO's format of results.

  Args:
    answer: with boxes [K, 4], labels [K] and scores [K], and maybe K masks from `pack`.
    image: id of the image.
    categories: ids of the labels.
  """
  masks = answer.get("masks") or [None] * len(answer["boxes"])
  each = zip(answer["boxes"], answer["labels"], answer["scores"], masks)
  for (x0, y0, x1, y1), label, score, mask in each:
    box = [x0, y0, x1 - x0, y1 - y0]
    row = {"image_id": image, "category_id": categories[label], "bbox": box, "score": score}
    yield row | ({"segmentation": mask} if mask else {})


def annotation(row: dict[str, Any], number: int) -> dict[str, Any]:
  """Returns a row of `rows` as the annotation of that number in a COCO data set."""
  drawn, (_, _, wide, high) = row.get("segmentation"), row["bbox"]
  return {"id": number, **row, "iscrowd": 0, "area": area(drawn) if drawn else wide * high}


def heads(answers: Iterable[dict[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
  """Returns a COCO data set's images and categories, both numbered from 1, in their order.

  Args:
    answers: each with file and size (height, width).
    classes: names of the labels.
  """
  images = [
    {"id": number, "file_name": answer["file"], "height": height, "width": width}
    for number, answer in enumerate(answers, 1)
    for height, width in [answer["size"]]
  ]
  return {"images": images, "categories": [{"id": n, "name": c} for n, c in enumerate(classes, 1)]}


def results(answers: Sequence[dict[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
  """Returns answers as a COCO data set: the `heads`, and annotations with scores.

  The annotations alone have COCO's format of results. Answers are what `rows` and `heads` take.
  """
  found, numbers = heads(answers, classes), range(1, 1 + len(classes))
  every = (row for n, answer in enumerate(answers, 1) for row in rows(answer, n, numbers))
  return {**found, "annotations": [annotation(row, n) for n, row in enumerate(every, 1)]}
