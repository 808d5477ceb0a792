"""A detector through the commands: trained, scored, asked about images, refused."""

import json

import numpy as np
import pytest
from PIL import Image

from cnnjax.engine.record import read_rows
from experiments.predict import find
from tests.experiments.test_scripts import command

QUICK = "--config=configs/detection/ssd_scenes.py:quick"
PICTURES = ("losses.png", "precision_recall.png", "errors.png")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run on generated scenes, too short to find much."""
  folder = tmp_path_factory.mktemp("runs") / "scenes"
  done = command("train", QUICK, f"--workdir={folder}")
  assert done.returncode == 0, done.stderr
  return folder, done


def test_train_tells_the_parts_of_the_loss(run):
  folder, done = run
  assert "class_loss" in done.stdout and "box_loss" in done.stdout and "map50" in done.stdout
  rows = [row for row in read_rows(folder / "metrics.jsonl") if row["split"] == "train"]
  for row in rows:
    assert row["loss"] == pytest.approx(row["class_loss"] + row["box_loss"], rel=1e-5)


def test_evaluate_draws_curves_and_errors(run, tmp_path):
  trained, folder = run[0], tmp_path / "out"
  before = sorted(trained.rglob("*"))
  done = command("evaluate", f"--workdir={trained}", f"--out={folder}", "--least=0.02")
  assert done.returncode == 0, done.stderr
  assert sorted(trained.rglob("*")) == before
  figures = json.loads((folder / "evaluation.json").read_text())
  assert figures["least"] == 0.02 and len(figures["per_class"]) == len(figures["classes"])
  for kind, count in figures["errors"].items():
    assert count == sum(row[kind] for row in figures["errors_per_class"])
  assert sum(figures["errors"].values())
  for told in ("map50_2007", "ap75", "ap50", "badly placed", "0.02 or more"):
    assert told in done.stdout
  for name in PICTURES:
    assert f"wrote {folder / name}" in done.stdout.replace("\n", "")
    assert Image.open(folder / name).size > (200, 200)


def test_predict_draws_each_image_at_its_size(run, tmp_path):
  folder, _ = run
  rng = np.random.default_rng(0)
  images, out = tmp_path / "images", tmp_path / "out"
  images.mkdir()
  for name, shape in {"a.png": (700, 301), "b.png": (50, 80, 3)}.items():
    Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(images / name)
  done = command("predict", f"--workdir={folder}", images, f"--out={out}", "--least=0")
  assert done.returncode == 0, done.stderr
  answers = json.loads((out / "predictions.json").read_text())
  assert [a["size"] for a in answers] == [[700, 301], [50, 80]]
  assert all(len(a["boxes"]) == len(a["classes"]) == len(a["scores"]) for a in answers)
  found = [x for answer in answers for box in answer["boxes"] for x in box]
  assert found and max(found) > 81  # in pixels of the image, not of the network
  coco = json.loads((out / "predictions.coco.json").read_text())
  assert len(coco["annotations"]) == sum(len(a["boxes"]) for a in answers)
  config = json.loads((folder / "config.json").read_text())
  assert [c["name"] for c in coco["categories"]] == config["data"]["classes"]
  sizes = {p.name: Image.open(p).size for p in (out / "predictions").iterdir()}
  assert sizes == {"0001_a.png": (301, 700), "0002_b.png": (640, 400)}
  none = command("predict", f"--workdir={folder}", images, f"--out={out}", "--least=1")
  assert none.returncode == 0, none.stderr
  assert json.loads((out / "predictions.json").read_text()) == answers  # all are written


def test_predict_passes_over_what_is_broken(run, tmp_path):
  images, out = tmp_path / "images", tmp_path / "out"
  images.mkdir()
  for name, shape in {"a.png": (8, 3000), "b.png": (1, 1), "d.png": (1, 1, 3)}.items():
    Image.fromarray(np.full(shape, 9, np.uint8)).save(images / name)
  (images / "c.png").write_text("no pixels")
  (images / "._a.png").write_text("a companion file of macOS")
  (images / "notes.txt").write_text("no image")
  ask = ["predict", f"--workdir={run[0]}", images, f"--out={out}", "--least=1", "--pictures=2"]
  done = command(*ask)
  assert done.returncode == 1, done.stderr
  assert "left out 1 of 5 files" in done.stderr and "notes.txt is no image" in done.stderr
  assert "passed over: " in done.stderr and "1 of 4 files have no answer" in done.stderr
  answers = json.loads((out / "predictions.json").read_text())
  assert [a["file"][-5:] for a in answers] == ["a.png", "b.png", "d.png"]
  for answer in answers:  # what there was, though none has a score of 1
    best = f"nothing; the best is {answer['classes'][0]} {answer['scores'][0]:.2g}"
    assert answer["scores"] and best in done.stdout
  drawn = sorted(p.name for p in (out / "predictions").iterdir())
  assert drawn == ["0001_a.png", "0002_b.png"] and "of the first 2" in done.stdout
  assert Image.open(out / "predictions.png").size > (100, 100)


def test_each_flag_is_shown_by_help():
  for verb, flag in (("evaluate", "--least"), ("predict", "--least"), ("predict", "--checkpoint")):
    done = command(verb, "--help")
    assert f"{flag}:" in done.stdout, (verb, done.stdout, done.stderr)


@pytest.mark.parametrize(
  ("arguments", "sentence"),
  [
    (["predict", "--workdir={run}", "{tmp}/text.png"], "is no image"),
    (["predict", "--workdir={run}", "{tmp}/a.png", "--out={tmp}/text.png"], "--out=FOLDER"),
    (["evaluate", "--workdir={run}", "--out={tmp}/text.png"], "--out=FOLDER"),
    (["predict", "--workdir={run}", "{tmp}/a.png", "--annotations={tmp}/x.json"], "x.json"),
    (["predict", "--workdir={run}", "{tmp}/empty"], "holds no image"),
    (["predict", "--workdir={run}", "{tmp}/a.png", "--least=1.5"], "from 0 to 1; found 1.5"),
    (["evaluate", "--workdir={run}", "--least=nan"], "from 0 to 1; found nan"),
    (["evaluate", "--workdir={run}", "--top_k=3"], "unknown option of task detection 'top_k'"),
    (["train", QUICK, "--config.augment={{'mixup': 0.2}}"], "does not move boxes"),
  ],
)
def test_wrong_input_ends_in_one_sentence(run, tmp_path, arguments, sentence):
  (tmp_path / "text.png").write_text("no pixels")
  (tmp_path / "empty").mkdir()
  Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a.png")
  before = sorted(tmp_path.rglob("*")), sorted(run[0].rglob("*"))
  done = command(*(a.format(tmp=tmp_path, run=run[0]) for a in arguments))
  assert done.returncode == 2, done.stdout + done.stderr
  assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
  assert sentence in done.stderr
  assert (sorted(tmp_path.rglob("*")), sorted(run[0].rglob("*"))) == before


def test_what_was_drawn_is_not_asked_about(tmp_path):
  drawn = tmp_path / "predictions"
  drawn.mkdir()
  for path in (tmp_path / "a.png", tmp_path / "predictions.png", drawn / "0001_a.png"):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(path)
  assert find([str(tmp_path)], tmp_path) == [tmp_path / "a.png"]
  assert len(find([str(tmp_path)], tmp_path / "elsewhere")) == 3
  assert find([str(drawn / "*.png")], tmp_path) == [drawn / "0001_a.png"]  # by name they are


def test_show_data_draws_boxes(tmp_path):
  out = tmp_path / "data.png"
  changes = "--config.augment={'flip': True}"
  done = command("show_data", QUICK, changes, "--repetitions=1", f"--out={out}")
  assert done.returncode == 0, done.stderr
  assert Image.open(out).size > (200, 200)


def test_summarize_a_detector():
  done = command("summarize", "ssd300")
  assert done.returncode == 0, done.stderr
  assert "35,641,826" in done.stdout and "trunk" in done.stdout
