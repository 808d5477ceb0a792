"""Class maps through the commands: trained by windows, scored, asked about images, refused."""

import json

import numpy as np
import pytest
from PIL import Image

import cnnjax
from tests.experiments.test_scripts import command

QUICK = "--config=configs/segmentation/unet_nuclei.py:quick"
SMALL = (
  "--config.data.arguments={'label': 'segments', 'classes': 3, 'examples': 32}",
  "--config.model.arguments={'widths': (4, 8)}",
  "--config.train.epochs=2",
  "--config.train.evaluate_every=2",
  *(f"--config.augment.{name}=0" for name in ("rotate", "brightness", "contrast")),
  "--config.augment.scale=()",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run on generated images of 28 pixels, seen in windows of 16, too short to learn much."""
  folder = tmp_path_factory.mktemp("runs") / "maps"
  done = command("train", QUICK, *SMALL, f"--workdir={folder}")
  assert done.returncode == 0, done.stderr
  return folder, done


def test_train_tells_the_parts_of_the_loss_and_the_pixels(run):
  folder, done = run
  for told in ("pixels in each split", "cross_entropy_loss", "dice_loss", "mean_iou"):
    assert told in done.stdout
  facts = json.loads((folder / "data.json").read_text())
  assert sum(facts["splits"]["test"]["pixels"]) == 32 * 28 * 28
  config = json.loads((folder / "config.json").read_text())
  assert config["data"]["resize"] == [] and config["data"]["tile"] == [16, 16]


def test_evaluate_shows_the_worst(run, tmp_path):
  folder, _ = run
  done = command("evaluate", f"--workdir={folder}", f"--out={tmp_path}")
  assert done.returncode == 0, done.stderr
  figures = json.loads((tmp_path / "evaluation.json").read_text())
  assert np.sum(figures["confusion"]) == 32 * 28 * 28 and figures["examples"] == 32
  assert {"iou", "dice", "case_dice", "hd95", "boundary_f1", "missed"} <= figures["per_class"][
    0
  ].keys()
  for name in ("losses.png", "confusion.png", "worst.png"):
    assert Image.open(tmp_path / name).size > (200, 200)


def test_predict_writes_masks_that_are_the_answers(run, tmp_path):
  folder, _ = run
  images, out = tmp_path / "images", tmp_path / "out"
  images.mkdir()
  rng = np.random.default_rng(0)
  shapes = {"a.png": (70, 31), "b.png": (12, 40, 3)}
  for name, shape in shapes.items():
    Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(images / name)
  done = command("predict", f"--workdir={folder}", images, f"--out={out}")
  assert done.returncode == 0, done.stderr
  answers = json.loads((out / "predictions.json").read_text())
  assert [a["size"] for a in answers] == [[70, 31], [12, 40]]
  found = cnnjax.restore(folder).predict([np.asarray(Image.open(images / n)) for n in shapes])
  for answer, own in zip(answers, found):
    with Image.open(out / answer["mask"]) as mask:
      np.testing.assert_array_equal(np.asarray(mask), own["segments"])
    assert answer["pixels"] == own["pixels"] and sum(own["pixels"].values()) == own["segments"].size
  assert Image.open(out / "predictions" / "0001_a.png").width == 31
  assert "2 masks in" in done.stdout.replace("\n", " ") and (out / "predictions.png").exists()


@pytest.mark.parametrize(
  ("arguments", "sentence"),
  [
    (["--config.data.tile=(64, 64)"], "data.tile (64, 64) is larger than the images, 28x28"),
    (["--config.data.tile=(8,)"], "data.tile must be (height, width) in pixels"),
    (["--config.data.overlap=1.0"], "data.overlap must be a finite number of at least 0"),
    (["--config.task.cross_entropy=0", "--config.task.dice=0"], "are all 0: nothing to learn"),
    (["--config.task.views=mirrored"], "config key"),
    (["--config.data.arguments={}"], "needs a class for each pixel, but the data hold a class for"),
    (["--config.augment.mixup=0.2"], "does not move boxes and masks"),
  ],
)
def test_what_cannot_be_is_said_in_one_sentence(tmp_path, arguments, sentence):
  done = command("train", QUICK, *arguments, f"--workdir={tmp_path / 'run'}")
  assert done.returncode == 2 and not (tmp_path / "run").exists()
  assert sentence in done.stderr.replace("\n", " "), done.stderr
