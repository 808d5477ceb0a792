"""Prompts through the commands: trained on generated sets, scored by set, asked, refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import cnnjax
from cnnjax.errors import UserError
from experiments.evaluate import examine, of_table
from experiments.showing.prompted import of_flags, worst
from tests.experiments.test_scripts import command

QUICK = "--config=configs/segmentation/medsam_tiny.py:quick"
SMALL = (
  "--config.data.fraction=0.3",
  "--config.train.epochs=2",
  "--config.train.watch=",
  *(f"--config.augment.{name}=0" for name in ("rotate", "brightness", "contrast")),
  "--config.augment.scale=()",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run on digits and solids, too short to learn much."""
  folder = tmp_path_factory.mktemp("runs") / "prompts"
  done = command("train", QUICK, *SMALL, f"--workdir={folder}")
  assert done.returncode == 0, done.stderr
  return folder, done


@pytest.fixture(scope="module")
def image(tmp_path_factory):
  path = tmp_path_factory.mktemp("images") / "a.png"
  Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)).save(path)
  return path


def asked(run, *arguments):
  return command("predict", f"--workdir={run[0]}", *arguments)


def test_train_tells_the_parts_of_the_loss_and_the_objects_of_each_set(run):
  folder, done = run
  for told in ("cross_entropy_loss", "dice_loss", "iou_loss", "mean_dice", "digits", "solids"):
    assert told in done.stdout
  facts = json.loads((folder / "data.json").read_text())["splits"]
  assert all(sum(of["counts"]) == of["examples"] for of in facts.values())
  assert (folder / "split.csv").exists()


def test_evaluate_scores_each_set_and_shows_the_worst(run, tmp_path):
  done = command("evaluate", f"--workdir={run[0]}", f"--out={tmp_path}")
  assert done.returncode == 0, done.stderr
  figures = json.loads((tmp_path / "evaluation.json").read_text())
  assert [row["objects"] > 0 for row in figures["per_class"]] == [True, True]
  assert figures["classes"] == ["digits", "solids"] and {"dice", "mean_iou"} <= figures.keys()
  for name in ("losses.png", "worst.png"):
    assert Image.open(tmp_path / name).size > (200, 200)


def test_a_model_is_scored_by_any_boxes(run):
  """By the table's own the figures are those of evaluate, by others they are not."""
  model = cnnjax.restore(run[0])
  figures, sums, table = examine(model, "test")
  assert of_table(model, table)[0] == figures
  whole = np.tile(np.float32([0, 0, 32, 32]), (len(table), 1))
  assert of_table(model, table.replace(box=whole))[0]["loss"] != figures["loss"]
  rows = sums["rows"]
  assert rows["dice"][: len(table)].mean() == pytest.approx(figures["dice"], rel=1e-5)
  chosen = worst(rows, 2, most=4)
  assert rows["group"][chosen].tolist() == [0, 0, 1, 1]
  own = (rows["group"] == 0) & (rows["mask"] > 0)
  assert rows["dice"][chosen[0]] == rows["dice"][own].min()


def test_predict_writes_the_mask_of_each_box(run, image, tmp_path):
  boxes = ((5, 6, 40, 30), (10.5, 20, 70, 50))
  words = [f"--box={','.join(map(str, box))}" for box in boxes]
  done = asked(run, image, *words, f"--out={tmp_path}")
  assert done.returncode == 0, done.stderr
  (answer,) = json.loads((tmp_path / "predictions.json").read_text())
  pixels = np.asarray(Image.open(image))
  (own,) = cnnjax.restore(run[0]).predict([pixels], boxes=[boxes])
  assert answer["size"] == [50, 70] and [tuple(p["box"]) for p in answer["prompts"]] == [*boxes]
  for prompt, mask, iou in zip(answer["prompts"], own["masks"], own["iou"]):
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / prompt["mask"])) > 0, mask)
    assert prompt["pixels"] == mask.sum() and prompt["iou"] == pytest.approx(iou)
  assert Image.open(tmp_path / "predictions" / "0001_a.png").width == 700
  assert (tmp_path / "predictions.png").exists()


def test_a_point_or_nothing_is_a_prompt_too(run, image, tmp_path):
  done = asked(run, image, "--point=30,20", "--point=3,4,0", f"--out={tmp_path}")
  assert done.returncode == 0 and "has learnt from boxes alone" in done.stderr
  ((prompt,),) = (one["prompts"] for one in json.loads((tmp_path / "predictions.json").read_text()))
  assert prompt["points"] == [[30, 20], [3, 4, 0]] and "box" not in prompt
  drawn = np.asarray(Image.open(tmp_path / "predictions" / "0001_a.png"))
  assert drawn[205, 305].tolist() == [0, 255, 0] and drawn[45, 35].tolist() == [255, 0, 0]
  done = asked(run, image, f"--out={tmp_path}")
  assert done.returncode == 0 and "the whole image is the box" in done.stderr


@pytest.mark.parametrize(
  ("arguments", "sentence"),
  [
    (
      ["--box=5,6,71,30"],
      "a.png: box (5, 6, 71, 30) does not lie within the image, which has 70x50",
    ),
    (["--box=5,6,5,30"], "box (5, 6, 5, 30) has no area"),
    (["--point=70,3"], "point (70, 3) does not lie within"),
    (["--box=5,6,7"], "--box must be x0,y0,x1,y1, in pixels of the image; found '5,6,7'"),
    (["--point=5,six"], "--point must be x,y or x,y,0, in pixels of the image; found '5,six'"),
  ],
)
def test_what_is_no_prompt_is_said_in_one_sentence(run, image, tmp_path, arguments, sentence):
  done = asked(run, image, *arguments, f"--out={tmp_path / 'out'}")
  assert done.returncode == 2 and not (tmp_path / "out").exists()
  assert sentence in done.stderr and len(done.stderr.strip().splitlines()) <= 2, done.stderr


def test_a_run_that_takes_no_prompt_says_so():
  run = SimpleNamespace(
    folder="digits", config=SimpleNamespace(task=SimpleNamespace(name="regression"))
  )
  assert of_flags(run, [], []) == {}
  with pytest.raises(UserError, match="digits is a run of the task regression, which takes none"):
    of_flags(run, ["1,2,3,4"], [])
