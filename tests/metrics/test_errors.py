"""Each kind of error on cases made by hand, where what is wrong can be seen."""

import numpy as np
import pytest

from cnnjax.metrics import detection
from cnnjax.metrics.errors import KINDS, counts, errors

CAT, DOG = 0, 1
BOX = (0, 0, 10, 10)


def columns(rows, scored=False):
  """Columns of images, each a list of (box, label) or (box, label, score)."""
  places = max(1, *map(len, rows))
  found = {"boxes": np.zeros((len(rows), places, 4)), "labels": np.zeros((len(rows), places), int)}
  found["valid"] = np.zeros((len(rows), places))
  found |= {"scores": np.zeros((len(rows), places))} if scored else {}
  for n, row in enumerate(rows):
    for k, (box, label, *score) in enumerate(row):
      found["boxes"][n, k], found["labels"][n, k], found["valid"][n, k] = box, label, 1
      if scored:
        found["scores"][n, k] = score[0]
  return found


def kinds(found, truth, **more):
  """The errors of one image as {kind: [places]}, without the kinds that have none."""
  parts = errors(columns([found], scored=True), {**columns([truth]), **more})
  assert tuple(parts) == KINDS
  return {kind: of.places.tolist() for kind, of in parts.items() if len(of.places)}


# IoU with BOX: of (0, 0, 10, 6) 0.6, of (5, 0, 15, 10) 1/3, of (9, 0, 19, 10) 1/19
@pytest.mark.parametrize(
  ("found", "truth", "want"),
  [
    ([(BOX, CAT, 0.9)], [(BOX, CAT)], {}),
    ([], [(BOX, CAT)], {"missed": [0]}),
    ([(BOX, CAT, 0.4)], [(BOX, CAT)], {"missed": [0]}),  # below the score
    ([((0, 0, 10, 6), CAT, 0.8), (BOX, CAT, 0.9)], [(BOX, CAT)], {"duplicate": [0]}),
    ([(BOX, DOG, 0.9)], [(BOX, CAT)], {"wrong class": [0]}),  # and so not missed as well
    ([((5, 0, 15, 10), CAT, 0.9)], [(BOX, CAT)], {"badly placed": [0]}),
    ([((5, 0, 15, 10), DOG, 0.9)], [(BOX, CAT)], {"wrong class": [0], "missed": [0]}),
    ([((9, 0, 19, 10), CAT, 0.9)], [(BOX, CAT)], {"background": [0], "missed": [0]}),
    ([(BOX, CAT, 0.9)], [], {"background": [0]}),
    # of two boxes: a third of its own class, all of another
    ([(BOX, CAT, 0.9)], [((5, 0, 15, 10), CAT), (BOX, DOG)], {"wrong class": [0], "missed": [0]}),
    # the worst first: missed by size, others by score
    ([], [((0, 0, 5, 5), CAT), (BOX, CAT)], {"missed": [1, 0]}),
    ([(BOX, CAT, 0.6), (BOX, DOG, 0.7)], [], {"background": [1, 0]}),
  ],
)
def test_by_hand(found, truth, want):
  assert kinds(found, truth) == want


@pytest.mark.parametrize("name", ["difficult", "crowd"])
def test_a_special_box_is_neither_missed_nor_found(name):
  assert kinds([], [(BOX, CAT)], **{name: np.ones((1, 1))}) == {}
  found = [(BOX, CAT, 0.9), ((0, 0, 10, 6), CAT, 0.8)]
  assert kinds(found, [(BOX, CAT)], **{name: np.ones((1, 1))}) == {}


def test_they_add_up():
  rng = np.random.default_rng(0)
  low = rng.integers(0, 60, (20, 12, 2))
  boxes = np.concatenate([low, low + rng.integers(8, 40, (20, 12, 2))], -1).astype(float)
  found = {"boxes": boxes, "labels": rng.integers(0, 3, (20, 12)), "valid": np.ones((20, 12))}
  truth = {key: value[:, :5] for key, value in found.items()}
  found["boxes"] = found["boxes"] + rng.normal(0, 4, boxes.shape)
  found["scores"] = rng.uniform(size=(20, 12))
  parts = errors(found, truth)
  each = counts(parts, 3)
  assert [sum(row[kind] for row in each) for kind in KINDS] == [
    len(p.images) for p in parts.values()
  ]
  above = {**found, "valid": found["scores"] >= 0.5}
  rows = detection.summarise(above, truth, "abc")["per_class"]
  for row, mistakes in zip(rows, each):
    wrong = sum(mistakes[kind] for kind in KINDS[1:])
    assert row["detections"] - row["found"] == wrong
    assert mistakes["missed"] <= row["boxes"] - row["found"]
  assert all(len(part.images) for part in parts.values())


def test_without_boxes_or_detections():
  some, none = columns([[(BOX, CAT, 0.9)]], scored=True), {"boxes": np.zeros((1, 0, 4))}
  none |= {key: np.zeros((1, 0), int) for key in ("labels", "valid", "scores")}
  assert {k: len(v.images) for k, v in errors(some, none).items() if len(v.images)} == {
    "background": 1
  }
  parts = errors(none, columns([[(BOX, CAT)]]))
  assert len(parts["missed"].images) == 1 and counts(parts, 2)[1]["missed"] == 0
