"""R-CNN and SPPnet trained in stages, cut off and gone on with, then used by the usual commands."""

from pathlib import Path

import numpy as np
import pytest

import cnnjax
from cnnjax.engine.config import resolve
from cnnjax.errors import UserError
from cnnjax.models.detection import svm
from experiments.train_rcnn import train_rcnn
from tests.test_configs import load

CONFIGS = Path(__file__).parents[2] / "configs" / "detection"


@pytest.fixture
def config_of(tmp_path, monkeypatch):
  pytest.importorskip("cv2")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  return lambda name: load(CONFIGS / f"{name}_bccd.py").get_config("quick")


def test_stages_that_were_cut_off(config_of, tmp_path, monkeypatch, capsys):
  config, folder = config_of("rcnn"), tmp_path / "run"
  with monkeypatch.context() as cut:
    cut.setattr(svm, "regress", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
      train_rcnn(config, folder)
  stages = folder / "stages"
  whole = {file.name for file in stages.iterdir()}
  assert whole >= {"features.npy", "pooled.npy", "svm.npz"} and "regression.npz" not in whole
  before = (stages / "features.npy").stat().st_mtime_ns
  assert "there already" not in capsys.readouterr().out

  _, figures = train_rcnn(config, folder)
  out = capsys.readouterr().out
  assert "stage features: there already" in out and "stage svm: there already" in out
  assert (stages / "features.npy").stat().st_mtime_ns == before
  check(config, folder, figures)

  again = train_rcnn(config, folder)[1]
  assert again["map50"] == figures["map50"] and cnnjax.restore(folder).step == 9


def test_stages_of_sppnet(config_of, tmp_path):
  config = config_of("sppnet")
  check(config, *train_rcnn(config, tmp_path / "run"))


def check(config, folder, figures):
  """Asserts that a run holds what all stages have found, and answers."""
  assert 0 <= figures["map50"] <= 1 and figures["examples"] == 8
  run = cnnjax.restore(folder)
  assert run.step == 9  # of the fine-tuning eight
  head = run.variables["params"]["head"]
  with np.load(folder / "stages" / "svm.npz") as kept:
    np.testing.assert_array_equal(head["svm"]["kernel"], kept["kernel"])
  assert np.asarray(head["regression"]["kernel"]).any()
  test = resolve(config)[1]["test"]
  answer = run.predict(test.columns["image"][:1])[0]
  assert len(answer["boxes"]) == len(answer["scores"]) == len(answer["classes"]) > 0
  assert answer["scores"] == sorted(answer["scores"], reverse=True)


def test_what_cannot_be_trained(config_of, tmp_path):
  config = config_of("rcnn")
  config.data.arguments = dict(examples=5, classes=10)
  with pytest.raises(UserError, match="class . has no box in the train split to learn from"):
    train_rcnn(config, tmp_path / "run")
  config.train.watch = "test"
  with pytest.raises(UserError, match="set train.watch to ''"):
    train_rcnn(config, tmp_path / "run")
  with config.unlocked():
    config.data.proposals = {}
  with pytest.raises(UserError, match="train_rcnn needs windows: set data.proposals"):
    train_rcnn(config, tmp_path / "run")
  config.model.name = "lenet5"
  with pytest.raises(UserError, match="train_rcnn trains rcnn and sppnet; found lenet5"):
    train_rcnn(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()
