"""COCO's metrics of boxes or masks, by faster-coco-eval, a faster form of COCO's own program."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from cnnjax.metrics.detection import present, special

Columns = Mapping[str, Any]
NAMES = (
  *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
  *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
)


def summarise(
  found: Columns, truth: Columns, classes: Sequence[str], *, masks: bool = False
) -> dict[str, Any]:
  """Returns COCO's twelve figures, by the names of `NAMES`, and each class's AP and AP50.

  Args:
    found: boxes [N, K, 4] in pixels of the user's images, by which objects are small, medium or
      large; labels, scores and valid [N, K] of N images; maybe masks.
    truth: boxes [N, P, 4], labels and valid [N, P]; maybe masks; maybe crowd or difficult [N, P],
      which mark boxes that need not be found; maybe area [N, P], in place of that of the mask or
      the box.
    classes: names of the classes that labels count.
    masks: whether to compare masks in place of boxes. Then both have `masks`, N lists with a
      run-length encoding (`encode`) for each entry, or None where the entry is not valid, and maybe
      `pixel` [N], the area of a mask's pixel in pixels of the user's image.

  Any number of detections of a special box count neither as hits nor as misses. A detection is one
  of a crowd by the part of it that lies inside, as in COCO, and one of a difficult box by its IoU,
  as of any box. A detection whose score or box is not finite is none. A figure for which there is
  no true object is None.
  """
  from faster_coco_eval import COCO, COCOeval_faster

  given = _rows(truth, masks)
  answers = _rows(found, masks)
  sizes = [{} for _ in truth["labels"]]
  for row in given + answers if masks else ():
    sizes[row["image_id"]] = dict(zip(("height", "width"), row["segmentation"]["size"]))
  data = {
    "images": [{"id": n, **size} for n, size in enumerate(sizes)],
    "categories": [{"id": n, "name": name} for n, name in enumerate(classes)],
    "annotations": [{**row, "id": n} for n, row in enumerate(given, 1)],
  }
  whole = COCO(data)
  theirs = whole.loadRes(answers) if answers else COCO({**data, "annotations": []})
  if masks and "pixel" in found:
    for row in theirs.anns.values():
      row["area"] *= float(found["pixel"][row["image_id"]])
  score = COCOeval_faster(whole, theirs, "segm" if masks else "bbox")
  score.computeIoU = partial(_overlaps, score.computeIoU, score)
  score.evaluate()
  score.accumulate()
  score.summarize()
  precision = score.eval["precision"][:, :, :, 0, -1]  # [overlaps, recalls, classes]
  return {
    **{name: _known(value) for name, value in zip(NAMES, score.stats)},
    "per_class": [
      {"name": name, "ap": _average(precision[..., n]), "ap50": _average(precision[0, :, n])}
      for n, name in enumerate(classes)
    ],
  }


def encode(mask: np.ndarray) -> dict[str, Any]:
  """Returns COCO's run-length encoding of a mask [H, W]."""
  from faster_coco_eval import mask as coder

  return coder.encode(np.asfortranarray(mask, np.uint8))


def _rows(columns: Columns, masks: bool) -> list[dict[str, Any]]:
  """Returns the valid entries as COCO's annotations, or its results where they have scores."""
  rows, places = (part.tolist() for part in np.nonzero(present(columns)))
  at = (rows, places)
  boxes = np.asarray(columns["boxes"], np.float64)[at]
  sides = boxes[:, 2:] - boxes[:, :2]
  found = {
    "image_id": rows,
    "category_id": np.asarray(columns["labels"])[at].tolist(),
    "bbox": np.concatenate([boxes[:, :2], sides], 1).tolist(),
  }
  if masks:
    found["segmentation"] = [columns["masks"][n][place] for n, place in zip(rows, places)]
    if "scores" in columns:
      del found["bbox"]  # else a detection's area would be that of its box
  if "scores" in columns:
    found["score"] = np.asarray(columns["scores"], np.float64)[at].tolist()
  else:
    crowd = np.asarray(columns.get("crowd", np.zeros(columns["labels"].shape)))[at] > 0
    found["difficult"] = (special(columns)[at] & ~crowd).tolist()
    found["iscrowd"] = special(columns)[at].astype(int).tolist()
    found["area"] = _areas(columns, at, sides, found.get("segmentation"))
  return [dict(zip(found, row)) for row in zip(*found.values())]


def _overlaps(plain: Callable, score: Any, image: int, category: int) -> Any:
  """Returns COCO's `computeIoU`, in which a difficult box is overlapped as any other box is.

  COCO's program holds it for a crowd, so that it passes over any number of detections of it.
  """
  (true,) = score.gt_dataset.get_instances([image], [category], True)[0]
  difficult = [row for row in true if row["difficult"]]
  for row in difficult:
    row["iscrowd"] = 0
  found = plain(image, category)
  for row in difficult:
    row["iscrowd"] = 1
  return found


def _areas(columns, at, sides, segmentation):
  if "area" in columns:
    return np.asarray(columns["area"], np.float64)[at].tolist()
  if segmentation:
    from faster_coco_eval import mask as coder

    pixel = np.asarray(columns.get("pixel", np.ones(len(columns["labels"]))))[at[0]]
    return (pixel * np.asarray(coder.area(segmentation), np.float64)).tolist()
  return np.prod(sides, 1).tolist()


def _known(value: float) -> float | None:
  return None if value < 0 else float(value)  # COCO gives -1 for it


def _average(values: np.ndarray) -> float | None:
  there = values[values > -1]
  return float(there.mean()) if there.size else None
