"""What predict writes: whole files or none, and COCO's files that its own program takes."""

import contextlib
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

from cnnjax.errors import UserError
from cnnjax.metrics.coco_results import pack, results
from experiments.showing import coco_ids, written
from experiments.showing.written import Answers, folder_for, known

CLASSES = ("cat", "dog")
MODULES = ("faster_coco_eval", "pycocotools.coco")


def answers(folder):
  """Answers about two images and one without a box, the second with masks."""
  rows = [([[1, 2, 11, 22], [20.5, 4, 30, 9]], [0, 1]), ([[0, 0, 8, 8]], [1]), ([], [])]
  for n, (boxes, labels) in enumerate(rows):
    answer = {"file": str(folder / f"{n}.png"), "size": [40, 60], "boxes": boxes, "labels": labels}
    answer["scores"] = [0.9 - 0.1 * k for k in range(len(labels))]
    yield answer | ({"masks": [pack(np.ones((40, 60)))]} if n == 1 else {})


def users_file(folder):
  """A COCO file with ids of its own, its images in a folder."""
  data = {
    "images": [
      {"id": 90 - n, "file_name": f"some/{n}.png", "height": 40, "width": 60} for n in range(4)
    ],
    "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 1, "name": "elk"}],
    "annotations": [],
  }
  for n, (image, category) in enumerate([(90, 3), (90, 7), (89, 7)], 1):
    row = {"id": n, "image_id": image, "category_id": category, "area": 64.0, "iscrowd": 0}
    data["annotations"].append(row | {"bbox": [1.0, 2.0, 10.0, 20.0]})
  (folder / "some").mkdir()
  (folder / "true.json").write_text(json.dumps(data))
  return folder / "true.json"


@pytest.mark.parametrize("module", MODULES)
def test_cocos_program_takes_the_answers_beside_the_users_file(tmp_path, module):
  tools = pytest.importorskip(module, reason=f"{module} is not installed")
  file, every = users_file(tmp_path), list(answers(tmp_path / "some"))
  ids = coco_ids.of_file(str(file), [tmp_path / "some" / f"{n}.png" for n in range(3)], CLASSES)
  with Answers(tmp_path, CLASSES, True, ids) as to:
    for answer in every:
      to.add(answer)
  with contextlib.redirect_stdout(io.StringIO()):
    truth = tools.COCO(str(file))
    found = truth.loadRes(str(tmp_path / "predictions.coco.json"))
  rows = found.loadAnns(found.getAnnIds())
  assert [(r["image_id"], r["category_id"]) for r in rows] == [(90, 3), (90, 7), (89, 7)]
  assert rows[0]["bbox"] == [1, 2, 10, 20] and [r["score"] for r in rows] == [0.9, 0.8, 0.9]
  assert json.loads((tmp_path / "predictions.json").read_text()) == every


def test_without_such_a_file_they_are_a_data_set(tmp_path):
  every = list(answers(tmp_path))
  with Answers(tmp_path, CLASSES, True) as to:
    for answer in every:
      to.add(answer)
  assert json.loads((tmp_path / "predictions.coco.json").read_text()) == results(every, CLASSES)


def test_a_users_file_must_know_images_and_classes(tmp_path):
  file = str(users_file(tmp_path))
  with pytest.raises(UserError, match=r"has no image other/7.png, nor 1 others"):
    coco_ids.of_file(file, [tmp_path.joinpath("other/7.png").relative_to(tmp_path)] * 1 + [
      tmp_path / "8.png"
    ], CLASSES)  # fmt: skip
  with pytest.raises(UserError, match=r"unknown category in .*true.json 'dig'; did you mean dog"):
    coco_ids.of_file(file, [], ("dig",))


def test_a_runs_own_file_is_found_for_its_own_images(tmp_path, capsys):
  file = users_file(tmp_path)
  data = SimpleNamespace(name="coco", root=str(tmp_path), classes=CLASSES)
  data.arguments = {"annotations": "true.json", "images": "."}
  run = SimpleNamespace(config=SimpleNamespace(data=data))
  found = coco_ids.of_run(run, [tmp_path / "some" / "2.png"])
  assert (found.file, list(found.images.values()), found.categories) == (file, [88], [3, 7])
  (tmp_path / "some" / "sub").mkdir()
  assert coco_ids.of_run(run, [tmp_path / "2.jpg"]) is None  # another image
  assert coco_ids.of_run(run, [tmp_path.parent / "some" / "2.png"]) is None  # another folder
  assert capsys.readouterr().err.count("--annotations=FILE.json") == 2
  data.name = "voc"
  assert coco_ids.of_run(run, [tmp_path / "some" / "2.png"]) is None
  assert not capsys.readouterr().err


def test_what_breaks_off_leaves_nothing(tmp_path):
  with pytest.raises(UserError), Answers(tmp_path / "new", CLASSES, True):
    raise UserError("all files are broken")
  assert not (tmp_path / "new").exists()
  with pytest.raises(UserError), Answers(tmp_path, CLASSES, False) as to:
    to.add({"file": "a.png"})
    raise UserError("the disk is full")
  assert not list(tmp_path.iterdir())


def test_numbers_that_json_has_not(tmp_path):
  with Answers(tmp_path, CLASSES, False) as to:
    to.add({"file": "a", "probabilities": [float("nan"), 1.0]})
    to.add({"file": "b", "probabilities": [0.5, 0.5]})
  assert to.broken == 1
  text = (tmp_path / "predictions.json").read_text()
  assert json.loads(text, parse_constant=pytest.fail)[0]["probabilities"] == [None, 1.0]
  assert known({"a": (1, [float("inf")], "x")}) == {"a": [1, [None], "x"]}


def test_where_nothing_can_be_written_is_told_first(tmp_path, monkeypatch):
  assert folder_for(tmp_path / "a" / "b", "x.json") == tmp_path / "a" / "b"
  assert not list(tmp_path.iterdir())
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match=r"x.json would be written into .*file, .*--out=FOLDER"):
    folder_for(tmp_path / "file", "x.json")

  def refuse(dir):
    raise PermissionError(13, "Permission denied")

  monkeypatch.setattr(written.tempfile, "TemporaryFile", refuse)
  with pytest.raises(UserError, match="Permission denied"):
    folder_for(tmp_path, "x.json")
