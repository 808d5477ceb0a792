"""Answers as COCO's JSON: what its own program reads back."""

import contextlib
import io
import json

import numpy as np
import pytest

from cnnjax.metrics.coco_results import pack, results, unpack

CLASSES = ("cat", "dog")
MODULES = ("faster_coco_eval", "pycocotools.coco")


def answers(masks):
  """Answers about two images and one without a box, with masks that fill half of their boxes."""
  rows = [([[1, 2, 11, 22], [20.5, 4, 30, 9]], [0, 1], (40, 60)), ([[0, 0, 8, 8]], [1], (10, 9))]
  found = []
  for corners, labels, (height, width) in [*rows, ([], [], (5, 5))]:
    answer = {"file": f"{len(found)}.png", "size": [height, width], "boxes": corners}
    answer |= {"labels": labels, "scores": [0.9 - 0.1 * n for n in range(len(labels))]}
    if masks:
      drawn = [np.zeros((height, width), bool) for _ in corners]
      for mask, (x0, y0, x1, y1) in zip(drawn, corners):
        mask[int(y0) : int(y1), int(x0) : int(x0 + x1) // 2] = True
      answer["masks"] = [pack(mask) for mask in drawn]
    found.append(answer)
  return found


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("module", MODULES)
def test_the_official_programs_load_them(tmp_path, module, masks):
  tools = pytest.importorskip(module, reason=f"{module} is not installed")
  path = tmp_path / "predictions.coco.json"
  path.write_text(json.dumps(results(answers(masks), CLASSES)))
  with contextlib.redirect_stdout(io.StringIO()):
    data = tools.COCO(str(path))
    again = data.loadRes(json.loads(path.read_text())["annotations"])
  assert [data.imgs[n]["file_name"] for n in (1, 2, 3)] == ["0.png", "1.png", "2.png"]
  assert [row["name"] for row in data.loadCats([1, 2])] == list(CLASSES)
  for loaded in (data, again):
    rows = loaded.loadAnns(loaded.getAnnIds())
    assert [(r["image_id"], r["category_id"]) for r in rows] == [(1, 1), (1, 2), (2, 2)]
    assert rows[1]["bbox"] == [20.5, 4, 9.5, 5] and [r["score"] for r in rows] == [0.9, 0.8, 0.9]
    if masks:
      assert loaded.annToMask(rows[0]).sum() == 20 * 5 and loaded.annToMask(rows[0])[2, 1] == 1
  assert data.loadAnns([1])[0]["area"] == (100 if masks else 200)


def test_masks_come_back_as_they_were():
  mask = np.random.default_rng(0).uniform(size=(13, 7)) > 0.4
  whole = json.loads(json.dumps(pack(mask)))
  assert whole["size"] == [13, 7] and (unpack(whole) == mask).all()
  assert (unpack(pack(mask * 0.9)) == mask).all()  # of probabilities
  assert not unpack(pack(np.zeros((4, 5)))).any()
