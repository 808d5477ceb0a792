"""Generated scenes: what is drawn, what the boxes and ids hold, and by which law."""

import numpy as np
import pytest

from cnnjax.data import idx
from cnnjax.data.masks import bounds
from cnnjax.data.scenes import Law, scene
from cnnjax.errors import UserError
from tests.data.test_folder import load
from tests.data.test_idx import LABELS, RNG, write

FEW = {"examples": 50, "resize": (48, 64)}


def scenes(root="", **options):
  return load(root, name="scenes", **{**FEW, **options})


def same(one, other):
  return all(
    (one[split].columns[key] == column).all()
    for split, table in other.items()
    for key, column in table.columns.items()
  )


def test_two_splits_of_a_seed():
  splits = scenes(masks=True)
  assert {split: len(table) for split, table in splits.items()} == {"train": 40, "test": 10}
  columns = splits["train"].columns
  places = columns["labels"].shape[1]
  assert {key: (c.shape[1:], c.dtype) for key, c in columns.items()} == {
    "image": ((48, 64, 1), np.uint8),
    "size": ((2,), np.int32),
    "boxes": ((places, 4), np.float32),
    "labels": ((places,), np.int32),
    "valid": ((places,), np.float32),
    "ids": ((48, 64), np.uint16),
  }
  assert columns["size"][0].tolist() == [48, 64] and splits["test"].classes == tuple("0123456789")
  assert same(splits, scenes(masks=True)) and "ids" not in scenes()["train"].columns
  assert not same(splits, scenes(masks=True, seed=1))
  assert (columns["image"][:10] != splits["test"].columns["image"]).any()


def test_a_box_holds_what_is_seen_of_its_object():
  columns = scenes(masks=True, rate=6.0, overlap=1.0)["train"].columns
  for ids, boxes, valid in zip(columns["ids"], columns["boxes"], columns["valid"]):
    count = int(valid.sum())
    assert valid[:count].all() and np.unique(ids).tolist() == list(range(count + 1))
    np.testing.assert_array_equal(boxes[:count], bounds(ids))
    assert not boxes[count:].any()


def test_objects_differ_from_their_background():
  columns = scenes(masks=True, noise=0.0, channels=3)["train"].columns
  assert columns["image"].shape[3] == 3
  for image, ids in zip(columns["image"].astype(int), columns["ids"]):
    for k in range(1, ids.max() + 1):
      x0, y0, x1, y1 = bounds(ids)[k - 1].astype(int)
      part, inside = image[y0:y1, x0:x1], ids[y0:y1, x0:x1]
      if (inside == 0).sum() > 20:
        assert np.abs(part[inside == k].mean(0) - part[inside == 0].mean(0)).max() > 20


def test_the_law():
  columns = scenes(examples=500, rate=2.0, scale=(0.2, 0.3), overlap=0.0)["train"].columns
  boxes, valid = columns["boxes"], columns["valid"] > 0
  counts = valid.sum(1)
  assert abs(counts.mean() - 2) < 0.3 and abs(counts.var() - 2) < 0.6 and (counts == 0).any()
  sides = (boxes[..., 2:] - boxes[..., :2]).max(-1)[valid]
  assert 0.2 * 48 - 2 <= sides.min() and sides.max() <= 0.3 * 48 + 2
  low = np.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
  high = np.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
  shared = np.clip(high - low, 0, None).prod(-1)
  assert (shared * (1 - np.eye(shared.shape[1])) == 0).all()  # no overlap
  assert boxes[..., 2].max() <= 64 and boxes[..., 3].max() <= 48
  centres = boxes[valid].reshape(-1, 2, 2).mean(1) / (64, 48)
  assert np.abs(centres.mean(0) - 0.5).max() < 0.05  # anywhere alike


def test_no_object_is_covered_by_more_than_half():
  law, square = Law((64, 64), 1, 12.0, (0.4, 0.4), 0.0, 1.0), np.full((1, 8, 8), 255, np.uint8)
  whole = [law._replace(rate=1.0), law]
  areas = [
    np.bincount(scene(np.random.default_rng(n), rule, square, np.zeros(1, int))[1].ravel())[1:]
    for rule in whole
    for n in range(20)
  ]
  area = max(a.max(initial=0) for a in areas[:20])
  assert 24**2 < area < 28**2
  seen = np.concatenate(areas[20:])
  assert seen.min() >= area / 2 and (seen < area).any()


def test_a_thin_stroke_shrinks_to_a_pixel_and_not_to_none():
  law, line = Law((32, 32), 1, 1.0, (0.125, 0.125), 0.0, 1.0), np.zeros((1, 28, 28), np.uint8)
  line[0, :, 13] = 99
  ids = [scene(np.random.default_rng(n), law, line, np.zeros(1, int))[1] for n in range(9)]
  sides = np.concatenate([bounds(i)[:, 2:] - bounds(i)[:, :2] for i in ids])
  assert len(sides) and (sides[:, 0] == 1).all() and (np.abs(sides[:, 1] - 4) <= 1).all()


def test_digits_of_ones_own(tmp_path):
  for split, files in idx.FILES.items():
    images = RNG.integers(0, 256, (len(LABELS[split]), 5, 4), dtype=np.uint8)
    for name, array in zip(files, (images, LABELS[split])):
      write(tmp_path / name, array)
  splits = scenes(tmp_path, classes=3)
  assert splits["train"].classes == ("0", "1", "2")
  assert set(splits["train"].columns["labels"].ravel().tolist()) == {0, 1, 2}
  write(tmp_path / idx.FILES["test"][1], np.uint8([3, 3, 3]))
  with pytest.raises(UserError, match="has no image of its first 3 classes to draw in test"):
    scenes(tmp_path, classes=3)


@pytest.mark.parametrize(
  "options, sentence",
  [
    ({"examples": 0}, "data.arguments.examples must be a whole number of at least 1; found 0"),
    ({"examples": 2}, "the test split of scenes .*holds no example"),
    (
      {"examples": 10**9},
      "1,000,000,000 scenes of 48x64x1 take 3,072.0 GB, ",
    ),
    ({"classes": 11}, "data.arguments.classes must be from 1 to 10, as there are; found 11"),
    ({"rate": -1}, "data.arguments.rate must be a number of objects, from 0 to 10,000; found -1"),
    ({"scale": 0.3}, r"data.arguments.scale must be \(least, largest\), from 0 to 1; found 0.3"),
    ({"scale": (0.5, 0.4)}, "data.arguments.scale must be"),
    ({"scale": (0.05, 0.4)}, "makes objects of 2.4 pixels in images of 48x64; expected 4 or more"),
    ({"noise": "loud"}, "data.arguments.noise must be from 0 to 10; found 'loud'"),
    ({"overlap": 2.0}, "data.arguments.overlap must be from 0 to 1"),
    ({"test": 1.5}, "data.arguments.test must be a part, from 0 to 1"),
    ({"places": 1}, r"scene \d+ has \d+ boxes; set data.arguments.places to \d+ or more"),
    ({"channels": 4}, "scenes are of 1 channel or 3; found data.channels 4"),
    ({"resize": 32, "crop": (32, 32)}, r"set data.resize to \(height, width\)"),
    ({"size": 3}, "data.arguments of scenes: .*'size'"),
  ],
)
def test_refusals(options, sentence):
  with pytest.raises(UserError, match=sentence):
    scenes(**options)
