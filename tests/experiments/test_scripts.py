"""The commands as a user types them: the whole path, and one wrong input of each kind."""

import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from cnnjax.engine.record import read_rows

ROOT = Path(__file__).parents[2]
MNIST = "--config=configs/classification/lenet5_mnist.py"
TARGETS = {
  "regression": "configs/regression/resnet18_cell_areas.py",
  "multilabel": "configs/multilabel/resnet18_bccd.py",
}


FORKS = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
FORKS.set_forkserver_preload(  # what commands import, once for all of them
  ["tests.experiments.test_scripts", "experiments.evaluate", "sklearn.model_selection"]
)


class Done(NamedTuple):
  """What a command ended with, as `subprocess.run` names it."""

  returncode: int
  stdout: str
  stderr: str


def typed(verb, *arguments):
  """Runs a command as a user does, imports and all."""
  done = subprocess.run(
    [sys.executable, "-m", f"experiments.{verb}", *map(str, arguments)],
    capture_output=True,
    text=True,
    cwd=ROOT,
    env={**os.environ, "COLUMNS": "120", "PYTHONDONTWRITEBYTECODE": "1"},
  )
  return Done(done.returncode, done.stdout, done.stderr)


class Started:
  """A command in a process forked from one that has done the imports, half of its time."""

  def __init__(self, verb, *arguments, **environment):
    self.folder = tempfile.TemporaryDirectory()
    self.files = [Path(self.folder.name, name) for name in ("stdout", "stderr")]
    environment = {**os.environ, "COLUMNS": "120", **environment}
    arguments = [verb, *map(str, arguments)]
    self.process = FORKS.Process(target=run_as_main, args=(arguments, self.files, environment))
    self.process.start()

  def wait_for_row(self, folder):
    """Waits until the run in the folder has written a row of metrics, or this has ended."""
    before = len(read_rows(folder / "metrics.jsonl"))
    while self.process.is_alive() and len(read_rows(folder / "metrics.jsonl")) == before:
      time.sleep(0.01)

  def signal(self, number):
    """Sends a signal; none where it has ended."""
    if self.process.is_alive():
      os.kill(self.process.pid, number)

  def end(self, timeout=None):
    """Returns what it ended with. Raises: TimeoutError where it runs on, and is killed."""
    self.process.join(timeout)
    if self.process.is_alive():
      self.process.kill()
      raise TimeoutError(self.files[0].read_text())
    with self.folder:
      return Done(self.process.exitcode, *(file.read_text() for file in self.files))


def command(verb, *arguments, **environment):
  """Returns what a command ends with."""
  return Started(verb, *arguments, **environment).end()


def run_as_main(arguments, files, environment):
  """Runs a command in this process, its output in files."""
  for number, file in enumerate(files, start=1):
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
  os.environ.update(environment)
  os.chdir(ROOT)
  sys.path.insert(0, str(ROOT))
  sys.argv, name = arguments, f"experiments.{arguments[0]}"
  sys.modules.pop(name, None)
  runpy.run_module(name, run_name="__main__", alter_sys=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run on the embedded digits, a fifth of the main job."""
  folder = tmp_path_factory.mktemp("runs") / "digits"
  done = typed("train", f"--workdir={folder}", "--config.train.epochs=4")
  assert done.returncode == 0, done.stderr
  return folder, done


@pytest.fixture(scope="module")
def evaluation(run):
  """The run scored on its test split: what was printed, and the figures."""
  folder, _ = run
  done = typed("evaluate", f"--workdir={folder}")
  assert done.returncode == 0, done.stderr
  return done, json.loads((folder / "evaluation.json").read_text())


def test_train(run):
  folder, done = run
  assert done.stderr == ""
  for told in ("test", "accuracy", f"experiments.evaluate --workdir={folder}", "images/s"):
    assert told in done.stdout
  last = read_rows(folder / "metrics.jsonl")[-1]
  assert (last["split"], last["examples"]) == ("test", 360)
  assert last["accuracy"] > 0.8


def test_evaluate(run, evaluation):
  (folder, _), (done, figures) = run, evaluation
  last = read_rows(folder / "metrics.jsonl")[-1]
  assert (figures["accuracy"], figures["loss"]) == (last["accuracy"], last["loss"])
  assert np.sum(figures["confusion"]) == 360
  assert np.trace(figures["confusion"]) / 360 == pytest.approx(figures["accuracy"])
  assert len(figures["per_class"]) == 10
  assert Image.open(folder / "confusion.png").size > (200, 200)
  for told in ("precision", "recall", "f1", "top_5", "confusion", f"{figures['accuracy']:.4f}"):
    assert told in done.stdout
  best = command("evaluate", f"--workdir={folder}", "--checkpoint=best", "--split=validation")
  assert best.returncode == 0, best.stderr
  assert json.loads((folder / "evaluation.json").read_text())["examples"] == 144


def test_predict(run, tmp_path):
  folder, _ = run
  digits = load_digits()
  pictures = tmp_path / "pictures"
  pictures.mkdir()
  for i in range(10):
    grey = Image.fromarray((digits.images[i] * 15.9).astype(np.uint8)).resize((40 + 9 * i, 64))
    grey.convert(("L", "RGB", "P", "RGBA")[i % 4]).save(pictures / f"{i}.png")
  (pictures / "folder.png").mkdir()
  done = typed("predict", f"--workdir={folder}", pictures, f"--out={tmp_path / 'out'}")
  assert done.returncode == 0, done.stderr
  answers = json.loads((tmp_path / "out" / "predictions.json").read_text())
  assert [Path(a["file"]).name for a in answers] == [f"{i}.png" for i in range(10)]
  assert sum(a["class"] == str(i) for i, a in enumerate(answers)) >= 7
  for a in answers:
    assert len(a["top"]) == 5 and a["top"][0]["class"] == a["class"]
    assert a["top"][0]["probability"] == a["probability"]
  assert Image.open(tmp_path / "out" / "predictions.png").size > (200, 200)
  (pictures / "1.png").rename(tmp_path / "[bold]$x_$.png")
  odd = command("predict", f"--workdir={folder}", tmp_path / "[bold]$x_$.png", f"--out={tmp_path}")
  assert "[bold]" in odd.stdout, odd.stderr
  globbed = command("predict", f"--workdir={folder}", pictures / "[2-4].png", f"--out={tmp_path}")
  assert len(json.loads((tmp_path / "predictions.json").read_text())) == 3, globbed.stderr


def test_summarize():
  done = typed("summarize", "lenet5")
  assert done.returncode == 0, done.stderr
  assert "62,006" in done.stdout and "28x28x6" in done.stdout
  assert "61,706" in command("summarize", "lenet5", "--input=32,32,1").stdout


@pytest.mark.parametrize(
  ("arguments", "sentence"),
  [
    (["train", "--config.optim.learning_ratee=1"], "did you mean optim.learning_rate"),
    (["train", "--config.seed=abc"], "config.seed=abc"),
    (["train", "--config=configs/nothing.py"], "unknown config file"),
    (["train", "--config=configs/classification/lenet5_digits.py:qick"], "did you mean quick"),
    (["train", "--workdirr=x"], "workdirr"),
    (["train", "--config={tmp}/config.py"], "gives no config: ZeroDivisionError in line 2"),
    (["train", "--config.optim.arguments.b1=0.8"], "give it whole: --config.optim.arguments"),
    (["train", "--workdir={tmp}/text.png"], "text.png is a file"),
    (["train", "--config.model.name=lenet6"], "did you mean lenet5"),
    (["train", MNIST], "data.root is empty"),
    (["train", MNIST, "--config.data.root={tmp}/nowhere"], "nowhere is no folder"),
    (["train", MNIST, "--config.data.root={tmp}"], "has no train-images-idx3-ubyte.gz"),
    (["train", "--config.data.batch_size=5000"], "fewer than one batch of 5000"),
    (["train", "--workdir={run}"], "holds another run (train.epochs: 4.0 then, 20.0 now)"),
    (["evaluate", "--workdir={tmp}"], "holds no run"),
    (["evaluate", "--workdir={run}", "--checkpoint=3"], "has no checkpoint 3"),
    (["evaluate", "--workdir={run}", "--split=tset"], "did you mean test"),
    (["evaluate", "--workdir={run}", "--parameters=ema"], "keeps no moving average"),
    (["predict", "--workdir={run}"], "name at least one file, folder or glob"),
    (["evaluate", "--workdir={run}", "--least=0.5"], "is a run of the task classification"),
    (["predict", "--workdir={run}", "{tmp}/none.png"], "no image file at"),
    (["predict", "--workdir={run}", "{tmp}/text.png"], "is no image"),
    (["predict", "--workdir={run}", "{tmp}/empty"], "holds no image"),
    (["summarize", "lenet6"], "did you mean lenet5"),
  ],
)
def test_wrong_input_ends_in_one_sentence(run, tmp_path, arguments, sentence):
  (tmp_path / "text.png").write_text("no pixels")
  (tmp_path / "empty").mkdir()
  (tmp_path / "config.py").write_text("def get_config(mode):\n  return 1 / 0\n")
  before = sorted(tmp_path.rglob("*")), sorted(run[0].glob("*"))
  done = command(*(a.format(tmp=tmp_path, run=run[0]) for a in arguments))
  assert done.returncode == 2, done.stdout + done.stderr
  assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
  assert sentence in done.stderr
  assert (sorted(tmp_path.rglob("*")), sorted(run[0].glob("*"))) == before


def test_evaluate_ranks_and_calibrates(run, evaluation):
  (folder, _), (done, figures) = run, evaluation
  areas = [row["roc_auc"] for row in figures["ranking"]]
  assert np.mean(areas) == pytest.approx(figures["macro_roc_auc"]) and min(areas) > 0.9
  assert sum(row["examples"] for row in figures["calibration"]) == 360
  assert figures["undefined"] == {}
  assert Image.open(folder / "calibration.png").size > (200, 200)
  for told in (
    "macro_roc_auc",
    "macro_average_precision",
    "expected_calibration_error",
    "weighted",
  ):
    assert told in done.stdout


def test_show_data_draws_each_operation_and_times_it(tmp_path):
  out = tmp_path / "pictures" / "data.png"
  done = command(
    "show_data",
    "--config=configs/classification/lenet5_digits.py:quick",
    "--config.augment={'shift': 2, 'rotate': 10.0, 'mixup': 0.2}",
    "--repetitions=1",
    f"--out={out}",
  )
  assert done.returncode == 0, done.stderr
  for told in ("as read", "shift", "rotate", "mixup", "all of them", f"wrote {out}"):
    assert told in done.stdout
  assert out.read_bytes().startswith(b"\x89PNG")


def test_a_key_that_an_open_section_has_not():
  config = f"--config={TARGETS['regression']}:quick"
  done = command("train", config, "--config.data.arguments.size=16")
  assert done.returncode == 2
  assert "this config's data.arguments has no size; give it whole" in done.stderr
  assert "'label': 'numbers', 'size': ..." in done.stderr


@pytest.fixture(scope="module", params=list(TARGETS))
def target_run(request, tmp_path_factory):
  """A run on a CSV of eighty squares, their sides and places, of each task that learns a target."""
  folder, rng = tmp_path_factory.mktemp(request.param), np.random.default_rng(0)
  rows = ["path,side,left"]
  for n in range(80):
    side, left = rng.integers(4, 16), rng.integers(0, 16)
    pixels = np.zeros((32, 32), np.uint8)
    pixels[:side, left : left + side] = 255
    Image.fromarray(pixels).save(folder / f"{n}.png")
    flags = request.param == "multilabel"
    cells = (int(side > 9), int(left > 7)) if flags else (side, left)
    rows.append(",".join(map(str, (f"{n}.png", *cells))))
  (folder / "list.csv").write_text("\n".join(rows))
  done = command(
    "train",
    f"--config={TARGETS[request.param]}:quick",
    "--config.data.name=csv",
    f"--config.data.root={folder / 'list.csv'}",
    "--config.data.arguments={'label': ('side', 'left')}",
    "--config.augment={}",
    "--config.train.epochs=4",
    f"--workdir={folder / 'run'}",
  )
  assert done.returncode == 0, done.stderr
  return request.param, folder, done


def test_targets_from_a_csv_to_pictures(target_run):
  task, folder, done = target_run
  run = folder / "run"
  assert "side" in done.stdout
  assert ("mae" if task == "regression" else "subset_accuracy") in done.stdout
  done = command("evaluate", f"--workdir={run}", "--checkpoint=best")
  assert done.returncode == 0, done.stderr
  figures = json.loads((run / "evaluation.json").read_text())
  assert figures["examples"] == 16 and figures["classes"] == ["side", "left"]
  if task == "regression":
    assert "per target" in done.stdout and len(figures["per_target"]) == 2
    assert Image.open(run / "pairs.png").size > (200, 200) and "pairs" not in figures
  else:
    assert "per label" in done.stdout and "macro_average_precision" in done.stdout
    assert len(figures["ranking"]) == len(figures["per_label"]) == 2
  done = command("predict", f"--workdir={run}", folder / "3.png", folder / "4.png")
  assert done.returncode == 0, done.stderr
  answers = json.loads((run / "predictions.json").read_text())
  for answer in answers:
    if task == "regression":
      assert answer["targets"].keys() == {"side", "left"} and -10 < answer["values"][0] < 30
    else:
      assert set(answer["classes"]) <= {"side", "left"} and len(answer["top"]) == 2
  assert Image.open(run / "predictions.png").size > (100, 100)
  out = folder / "data.png"
  done = command("show_data", f"--config={TARGETS[task]}:quick", f"--out={out}")
  assert done.returncode == 0, done.stderr


def test_what_a_target_run_refuses(target_run):
  task, folder, _ = target_run
  done = command("evaluate", f"--workdir={folder / 'run'}", "--top_k=3")
  assert done.returncode == 2
  unread, error = done.stderr.splitlines()  # what the run has drawn beside the images
  assert unread.startswith("not read below ") and f"unknown option of task {task} 'top_k'" in error
