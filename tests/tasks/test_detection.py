"""A detector's figures in pixels of the user's images, as COCO's program has them."""

import contextlib
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.metrics import coco
from cnnjax.tasks import detection

SIZE, FRAME, CLASSES = (240, 200), (64, 64), 2


class Model:
  """Stands for a detector, whose outputs are its detections."""

  num_classes = CLASSES

  @staticmethod
  def decode(outputs):
    return {key: value for key, value in outputs.items() if key != "logits"}


def scene(seed, images=30, places=6):
  """Boxes of the user's images, from 5 to 150 pixels, and detections about them."""
  rng = np.random.default_rng(seed)
  side = rng.uniform(5, 150, (images, places, 2))
  low = rng.uniform(size=side.shape) * (np.asarray(SIZE[::-1]) - side)
  boxes = np.concatenate([low, low + side], -1)
  labels = rng.integers(0, CLASSES, (images, places))
  near = np.clip(boxes + rng.normal(0, 4, boxes.shape), 0, [*SIZE[::-1]] * 2)
  scores = rng.uniform(size=labels.shape).astype(np.float32)
  return boxes, labels, near, scores, rng.uniform(size=labels.shape) < 0.2


def rows(boxes, labels, near, scores, **more):
  """What an evaluation of these images at 64x64 returns."""
  scale = np.tile(np.divide(FRAME, SIZE)[::-1], 2)
  count, there = len(boxes), np.ones(labels.shape, np.float32)
  batch = {
    "image": np.zeros((count, *FRAME, 3), np.uint8),
    "size": np.tile(np.asarray(SIZE, np.int32), (count, 1)),
    "boxes": (boxes * scale).astype(np.float32),
    "labels": labels,
    "valid": there,
    "mask": np.ones(count, np.float32),
    **more,
  }
  outputs = {"boxes": (near * scale).astype(np.float32), "labels": labels, "scores": scores}
  outputs |= {"valid": there, "logits": np.zeros((count, 4))}
  return jax.device_get(detection.metrics(jax.tree.map(jnp.asarray, outputs), batch, model=Model))


def official(boxes, labels, near, scores, areas=None):
  """COCO's twelve figures of the user's JSON, in pixels as the user has them."""
  tools = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
  from pycocotools.cocoeval import COCOeval

  def of(corners, n, k):
    x0, y0, x1, y1 = map(float, corners[n, k])
    row = {"image_id": n, "category_id": int(labels[n, k]), "bbox": [x0, y0, x1 - x0, y1 - y0]}
    area = (x1 - x0) * (y1 - y0) if areas is None else float(areas[n, k])
    return row, {"area": area, "iscrowd": 0}

  places = list(np.ndindex(labels.shape))
  given = [of(boxes, n, k) for n, k in places]
  with contextlib.redirect_stdout(io.StringIO()):
    whole = tools.COCO()
    whole.dataset = {
      "info": {},
      "images": [{"id": n, "height": SIZE[0], "width": SIZE[1]} for n in range(len(labels))],
      "categories": [{"id": n} for n in range(CLASSES)],
      "annotations": [{**a, **b, "id": i} for i, (a, b) in enumerate(given, 1)],
    }
    whole.createIndex()
    found = [{**of(near, n, k)[0], "score": float(scores[n, k])} for n, k in places]
    evaluation = COCOeval(whole, whole.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
  return dict(zip(coco.NAMES, evaluation.stats))


@pytest.mark.parametrize("stated", [False, True])
def test_sizes_are_those_of_the_users_image(stated):
  """With areas of the JSON, which are those of masks, and without."""
  for seed in range(3):
    boxes, labels, near, scores, _ = scene(seed)
    area = np.prod(boxes[..., 2:] - boxes[..., :2], -1)
    areas = 0.6 * area if stated else None
    more = {"areas": areas.astype(np.float32)} if stated else {}
    ours = detection.summarise(rows(boxes, labels, near, scores, **more), model=Model)
    theirs = official(boxes, labels, near, scores, areas)
    for name in detection.FIGURES:
      assert ours[name] == pytest.approx(theirs[name], abs=1e-9), name
    assert min(theirs["ap_small"], theirs["ap_medium"], theirs["ap_large"]) > 0  # there are all


def test_a_box_of_exactly_1024_pixels_is_small_and_medium():
  boxes = np.asarray([[[37.0, 41, 69, 73]]])
  given = boxes, np.zeros((1, 1), int), boxes, np.full((1, 1), 0.9)
  figures = detection.summarise(rows(*given, areas=np.full((1, 1), 1024.0)), model=Model)
  assert figures["ap_small"] == figures["ap_medium"] == 1


def test_images_without_a_finite_answer_are_counted():
  boxes, labels, near, scores, _ = scene(0, images=4)
  whole = detection.summarise(rows(boxes, labels, near, scores), model=Model)
  assert "not_finite" not in whole
  near[1, 2, 0], scores[2, 0] = np.nan, np.inf
  broken = detection.summarise(rows(boxes, labels, near, scores), model=Model)
  assert broken["not_finite"] == 2 and 0 < broken["ap"] < whole["ap"]
  outputs = {"logits": jnp.asarray([[0.0, 1], [0, jnp.nan], [jnp.inf, 0]])}
  assert detection._broken(outputs, 3).tolist() == [False, True, True]
