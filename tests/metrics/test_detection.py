"""VOC's average precision against the devkit's own loop; COCO's against pycocotools."""

import contextlib
import io

import numpy as np
import pytest

from cnnjax.metrics import coco, detection

CLASSES = ("cat", "dog", "bird", "unseen")


def example(seed, images=12, truths=6, places=15, whole=False):
  """Returns detections that lie about true boxes, some of wrong class, twice, or nowhere near."""
  rng = np.random.default_rng(seed)
  low = rng.integers(0, 100, (images, truths, 2))
  boxes = np.concatenate([low, low + rng.integers(4, 120, (images, truths, 2))], -1)
  truth = {
    "boxes": boxes.astype(np.float32),
    "labels": rng.integers(0, 3, (images, truths)),
    "valid": rng.uniform(size=(images, truths)) < 0.8,
    "difficult": rng.uniform(size=(images, truths)) < 0.2,
  }
  of = rng.integers(0, truths, (images, places))
  row = np.arange(images)[:, None]
  noise = rng.integers(-9, 10, (images, places, 4)) * (rng.uniform(size=(images, places, 1)) < 0.8)
  scores = (
    rng.integers(0, 10, (images, places)) / 10 if whole else rng.uniform(size=(images, places))
  )
  labels = np.where(rng.uniform(size=(images, places)) < 0.8, truth["labels"][row, of], 2)
  near = truth["boxes"][row, of] + noise
  near[..., 2:] = np.maximum(near[..., 2:], near[..., :2] + 1)
  found = {
    "boxes": near.astype(np.float32),
    "labels": labels,
    "scores": scores.astype(np.float32),
    "valid": rng.uniform(size=(images, places)) < 0.9,
  }
  return found, truth


def devkit(found, truth, label, threshold):
  """VOCevaldet.m, line by line: inclusive integer boxes, one detection after the other."""
  shift = np.asarray([1, 1, 0, 0])
  rows = [
    (found["scores"][n, k], n, found["boxes"][n, k] + shift)
    for n, k in np.ndindex(found["labels"].shape)
    if found["valid"][n, k] and found["labels"][n, k] == label
  ]
  rows.sort(key=lambda row: -row[0])  # stable, as Matlab's
  npos = 0
  boxes, difficult, det = [], [], []
  for n in range(len(truth["labels"])):
    own = np.flatnonzero(truth["valid"][n] & (truth["labels"][n] == label))
    boxes.append(truth["boxes"][n, own] + shift)
    difficult.append(truth["difficult"][n, own])
    det.append(np.zeros(len(own), bool))
    npos += int((~difficult[-1]).sum())
  tp, fp = np.zeros(len(rows)), np.zeros(len(rows))
  for d, (_, n, bb) in enumerate(rows):
    ovmax, jmax = -np.inf, None
    for j, bbgt in enumerate(boxes[n]):
      bi = [max(bb[0], bbgt[0]), max(bb[1], bbgt[1]), min(bb[2], bbgt[2]), min(bb[3], bbgt[3])]
      iw, ih = bi[2] - bi[0] + 1, bi[3] - bi[1] + 1
      if iw > 0 and ih > 0:
        ua = (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1)
        ua += (bbgt[2] - bbgt[0] + 1) * (bbgt[3] - bbgt[1] + 1) - iw * ih
        if iw * ih / ua > ovmax:
          ovmax, jmax = iw * ih / ua, j
    if ovmax >= threshold:
      if not difficult[n][jmax]:
        if not det[n][jmax]:
          tp[d], det[n][jmax] = 1, True
        else:
          fp[d] = 1
    else:
      fp[d] = 1
  fp, tp = np.cumsum(fp), np.cumsum(tp)
  rec = tp / npos
  prec = tp / np.where(fp + tp > 0, fp + tp, 1)
  points = sum(max(prec[rec >= t], default=0) / 11 for t in np.arange(11) / 10)
  mrec, mpre = [0, *rec, 1], [0, *prec, 0]
  for i in range(len(mpre) - 2, -1, -1):
    mpre[i] = max(mpre[i], mpre[i + 1])
  area = sum(
    (mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1]
  )
  return area, points


@pytest.mark.parametrize("threshold", [0.5, 0.75])
def test_the_devkit_counts_the_same(threshold):
  for seed in range(4):
    found, truth = example(seed, whole=seed % 2 == 0)
    scores = detection.summarise(found, truth, CLASSES, threshold)
    want = [devkit(found, truth, label, threshold) for label in range(3)]
    for row, (area, points) in zip(scores["per_class"], want):
      assert row["ap"] == pytest.approx(area, abs=1e-9)
      assert row["ap_2007"] == pytest.approx(points, abs=1e-9)
    assert scores["map"] == pytest.approx(np.mean([area for area, _ in want]))
    assert scores["per_class"][3]["ap"] is None


def test_by_hand():
  truth = {
    "boxes": np.asarray([[[0, 0, 10, 10], [20, 0, 30, 10]]]),
    "labels": np.zeros((1, 2), int),
  }
  truth["valid"] = np.ones((1, 2), bool)
  boxes = [
    [0, 0, 10, 10],
    [0, 0, 10, 9],
    [50, 50, 60, 60],
    [20, 0, 30, 10],
  ]  # hit, again, miss, hit
  found = {"boxes": np.asarray([boxes]), "labels": np.zeros((1, 4), int)}
  found |= {"scores": np.asarray([[0.9, 0.8, 0.7, 0.6]]), "valid": np.ones((1, 4), bool)}
  row = detection.summarise(found, truth, ["a"])["per_class"][0]
  assert row["ap"] == pytest.approx(0.5 * 1 + 0.5 * 0.5)
  assert row["ap_2007"] == pytest.approx((6 * 1 + 5 * 0.5) / 11)
  assert (row["boxes"], row["found"], row["detections"]) == (2, 2, 4)
  assert coco.summarise(found, truth, ["a"])["ap50"] == pytest.approx((51 * 1 + 50 * 0.5) / 101)


def test_a_crowd_need_not_be_found_either():
  found, truth = example(0)
  crowded = {**truth, "crowd": truth["difficult"]}
  want = detection.summarise(found, truth, CLASSES)
  assert detection.summarise(found, crowded, CLASSES) == want
  del crowded["difficult"]
  assert detection.summarise(found, crowded, CLASSES) == want


def test_nothing_found_and_nothing_to_find():
  found, truth = example(0)
  none = {key: value[:, :0] for key, value in found.items()}
  assert detection.summarise(none, truth, CLASSES)["map"] == 0
  assert coco.summarise(none, truth, CLASSES)["ap"] == 0
  empty = {key: value[:, :0] for key, value in truth.items()}
  assert detection.summarise(found, empty, CLASSES)["map"] is None
  assert coco.summarise(found, empty, CLASSES)["ap"] is None
  unreal = {**found, "valid": np.zeros_like(found["valid"])}
  assert coco.summarise(unreal, truth, CLASSES)["ap"] == 0


def official(found, truth, kind):
  """The twelve figures of pycocotools, from rows written out here."""
  tools = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
  from pycocotools.cocoeval import COCOeval

  def rows(columns, more):
    for n, p in zip(*np.nonzero(columns["valid"])):
      x0, y0, x1, y1 = map(float, columns["boxes"][n, p])
      row = {"image_id": int(n), "category_id": int(columns["labels"][n, p])}
      row |= {"bbox": [x0, y0, x1 - x0, y1 - y0]} | more(n, p, (x1 - x0) * (y1 - y0))
      yield row | ({"segmentation": columns["masks"][n][p]} if kind == "segm" else {})

  def given(n, p, area):
    area = float(truth["area"][n, p]) if "area" in truth else area
    return {"iscrowd": int(truth["crowd"][n, p]), "area": area}

  with contextlib.redirect_stdout(io.StringIO()):
    whole = tools.COCO()
    whole.dataset = {
      "info": {},
      "images": [{"id": n, "height": 240, "width": 240} for n in range(len(truth["labels"]))],
      "categories": [{"id": n} for n in range(len(CLASSES))],
      "annotations": [{**row, "id": i} for i, row in enumerate(rows(truth, given), 1)],
    }
    whole.createIndex()
    score = lambda n, p, _: {"score": float(found["scores"][n, p])}  # noqa: E731
    answers = list(rows(found, score))
    for row in answers if kind == "segm" else ():
      del row["bbox"]  # as in COCO's format of results: its area is then the mask's
    evaluation = COCOeval(whole, whole.loadRes(answers), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
  return evaluation.stats


@pytest.mark.parametrize("masks", [False, True])
def test_pycocotools_counts_the_same(masks):
  for seed in range(3):
    found, truth = example(seed)
    truth["crowd"] = truth.pop("difficult")
    if seed == 2:
      truth["area"] = np.full(truth["labels"].shape, 500.0)
    for columns in (found, truth) if masks else ():
      columns["masks"] = [[blob(box) for box in image] for image in columns["boxes"]]
    if masks and "area" not in truth:
      inside = [[blob(box, encoded=False).sum() for box in image] for image in truth["boxes"]]
      want = official(found, {**truth, "area": np.asarray(inside)}, "segm")
    else:
      want = official(found, truth, "segm" if masks else "bbox")
    ours = coco.summarise(found, truth, CLASSES, masks=masks)
    for name, value in zip(coco.NAMES, want):
      assert (-1 if ours[name] is None else ours[name]) == pytest.approx(value, abs=1e-6), name
    each = [c["ap"] for c in ours["per_class"]]
    assert each[3] is None and np.mean(each[:3]) == pytest.approx(ours["ap"])


def counted(found, truth, label, threshold):
  """COCO's AP of a class, written as a loop: a special box need not be found, nor counts it twice.

  A crowd is met by the part of a detection inside it, a difficult box by its IoU, both by any
  number of detections, which then count neither way.
  """
  outcome, total = [], 0
  for n in range(len(truth["labels"])):
    own = np.flatnonzero(truth["valid"][n] & (truth["labels"][n] == label))
    free = [p for p in own if not (truth["difficult"][n, p] or truth["crowd"][n, p])]
    total += len(free)
    passed_over = [p for p in own if p not in free]
    those = np.flatnonzero(found["valid"][n] & (found["labels"][n] == label))
    for k in sorted(those, key=lambda k: -found["scores"][n, k])[:100]:
      box = found["boxes"][n, k].astype(float)

      def meets(p, box=box, n=n):
        other = truth["boxes"][n, p].astype(float)
        side = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
        both, own = np.prod(np.maximum(side, 0)), np.prod(box[2:] - box[:2])
        whole = own + np.prod(other[2:] - other[:2]) - both
        return both / (own if truth["crowd"][n, p] else whole)

      best = max(free, key=meets, default=None)
      if best is not None and meets(best) >= threshold:
        free.remove(best)
        outcome.append((found["scores"][n, k], 1))
      elif not any(meets(p) >= threshold for p in passed_over):
        outcome.append((found["scores"][n, k], 0))
  won = np.asarray([hit for _, hit in sorted(outcome, key=lambda o: -o[0])])
  recall, precision = np.cumsum(won) / total, np.cumsum(won) / np.arange(1, len(won) + 1)
  return np.mean([max(precision[recall >= t], default=0) for t in np.linspace(0, 1, 101)])


def test_coco_counts_no_special_box_either():
  for seed in range(3):
    found, truth = example(seed, images=20)
    truth["crowd"] = (np.random.default_rng(seed).uniform(size=truth["labels"].shape) < 0.2) & (
      truth["labels"] == 1
    )
    ours = coco.summarise(found, truth, CLASSES)
    for label in range(3):
      each = [counted(found, truth, label, t) for t in (0.5 + 0.05 * np.arange(10))]
      row = ours["per_class"][label]
      assert row["ap50"] == pytest.approx(each[0], abs=1e-9)
      assert row["ap"] == pytest.approx(np.mean(each), abs=1e-9)
  boxes = np.asarray([[[0, 0, 10, 10], [20, 0, 30, 10.0]]])
  truth = {"boxes": boxes, "labels": np.zeros((1, 2), int), "valid": np.ones((1, 2))}
  truth["difficult"] = np.asarray([[0, 1]])
  again = {**truth, "boxes": boxes[:, [1, 1, 1, 0]], "labels": np.zeros((1, 4), int)}
  again |= {"scores": np.asarray([[0.9, 0.8, 0.7, 0.6]]), "valid": np.ones((1, 4))}
  assert coco.summarise(again, truth, ["a"])["ap"] == 1  # detected three times, or not at all
  alone = {k: v[:, 3:] for k, v in again.items() if k != "difficult"}
  assert coco.summarise(alone, truth, ["a"])["ap"] == 1
  half = {
    **again,
    "boxes": np.asarray([[[20, 0, 24, 10], *([[20, 0, 30, 10]] * 2), [0, 0, 10, 10]]]),
  }
  assert coco.summarise(half, truth, ["a"])["ap50"] == pytest.approx(0.5)  # a part is no hit of it


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_detection(value):
  found, truth = example(3)
  left = {**found, "valid": found["valid"].copy()}
  left["valid"][2, 3] = left["valid"][5, 1] = False
  want = [m.summarise(left, truth, CLASSES) for m in (detection, coco)]
  found["valid"][2, 3] = found["valid"][5, 1] = True
  found["scores"][2, 3], found["boxes"][5, 1, 2] = value, value
  assert [m.summarise(found, truth, CLASSES) for m in (detection, coco)] == want


def blob(box, encoded=True):
  """Returns the ellipse in a box, of an image of 240 x 240."""
  y, x = np.mgrid[:240, :240] + 0.5
  centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
  mask = ((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2 <= 1
  return coco.encode(mask) if encoded else mask


def test_without_difficult_boxes_voc_and_coco_rank_alike():
  found, truth = example(7)
  del truth["difficult"]
  found["labels"], truth["labels"] = np.zeros_like(found["labels"]), np.zeros_like(truth["labels"])
  apart = np.asarray([400.0, 0, 400, 0]) * np.arange(6)[None, :, None]  # no choice between boxes
  truth["boxes"] = truth["boxes"] + apart
  found["boxes"] = truth["boxes"][:, np.arange(15) % 6] + 1
  voc = detection.summarise(found, truth, ["a"])["map"]
  assert voc == pytest.approx(coco.summarise(found, truth, ["a"])["ap50"], abs=0.01)  # 101 points
