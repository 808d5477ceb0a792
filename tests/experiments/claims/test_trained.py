"""The claims that are trained: end to end on generated data with the smallest networks."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnjax.engine.record import read_rows
from cnnjax.errors import UserError
from cnnjax.visualise.overlay import overlay
from experiments.claims import any_size, changed, degradation, squeeze, tumor
from experiments.claims.trainings import Trained, config_of, gain, mnist, spread, training_error


def test_config_of():
  config = config_of("resnet20_cifar10", 3, root="here", epochs=18.2, fraction=0.25, model="mlp")
  assert (config.seed, config.data.root, config.model.name) == (3, "here", "mlp")
  assert (config.train.epochs, config.data.fraction, config.train.watch) == (18.2, 0.25, "")
  assert config.optim.milestones == pytest.approx((9.1, 13.65))
  full = config_of("resnet20_cifar10", 0)
  assert (full.train.epochs, full.data.validation, full.train.watch) == (182, 0.1, "validation")


def test_training_error_is_that_of_the_end():
  accuracies = [0.1] * 18 + [0.6, 0.8]
  rows = [{"split": "train", "epoch": e, "accuracy": a} for e, a in enumerate(accuracies, 1)]
  run = Trained({}, [*rows, {"split": "test"}], (), Path())
  assert training_error([run]) == pytest.approx([30])


def test_spread():
  assert spread(np.asarray([50.0])) == "50.00 % (1 seed)"
  assert spread(np.asarray([49.0, 51.0])) == "50.00 ± 1.41 % (2 seeds)"


def test_tumor_counts_what_matters_by_class():
  counts = np.asarray([[8, 1, 1], [0, 9, 1], [2, 0, 18]])
  found = {f.what: f.ours for f in tumor._by_class("net", counts, ("a", "notumor", "c"))}
  assert found["net, recall of a"] == "80.0 %"
  assert found["net, tumours taken for none"] == "1 of 30"
  assert found["net, none taken for a tumour"] == "1 of 10"


def test_tumor_without_its_data():
  with pytest.raises(UserError, match="data.root is empty"):
    tumor.tumor()


def test_tumor(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(tumor, "config_of", partial(config_of, model="logistic"))
  findings = tumor.tumor(quick=True, epochs=0.1, out=tmp_path)
  assert {p.name for p in tmp_path.iterdir()} == {
    "tumor_net_0", "resnet18_0", "confusion_tumor_net.png", "confusion_resnet18.png"
  }  # fmt: skip
  assert findings[0].deck == "96 %" and findings[0].holds is False  # after one step
  assert "true class by row" in capsys.readouterr().out
  again = tumor.tumor(quick=True, epochs=0.1, out=tmp_path)  # finished runs are only scored
  assert again == findings
  assert "finished" in capsys.readouterr().out


def test_degradation(tmp_path, monkeypatch):
  networks = {"plain": ("mlp", "logistic"), "residual": ("logistic", "mlp")}
  monkeypatch.setattr(degradation, "NETWORKS", networks)
  findings = degradation.degradation(quick=True, epochs=4, fraction=0.5, out=tmp_path)
  assert Image.open(tmp_path / "degradation.png").size > (300, 200)
  shown = {f.what: f for f in findings}
  rise = shown["plain, deeper against shallower"]
  assert rise.deck == "worse" and rise.holds == rise.ours.startswith("+")
  rows = read_rows(tmp_path / "mlp_0" / "metrics.jsonl")
  assert rows[-1]["split"] == "test" and math.isfinite(rows[-1]["loss"])
  assert rows[-1]["step"] == 4 * 256 // 128


def test_squeeze(tmp_path, monkeypatch):
  monkeypatch.setattr(squeeze, "WITHOUT", "logistic")
  monkeypatch.setattr(squeeze, "WITH", "mlp")
  findings = squeeze.squeeze(quick=True, epochs=1, seeds=2, out=tmp_path)
  assert "(2 seeds)" in findings[0].ours and "standard error" in findings[2].ours
  assert {p.name for p in tmp_path.iterdir()} == {"logistic_0", "logistic_1", "mlp_0", "mlp_1"}


def test_any_size(tmp_path, monkeypatch):
  def few(*arguments, **vary):
    config = mnist(*arguments, **vary)
    config.data.arguments = {"examples": 100, "classes": 3}
    return config

  monkeypatch.setattr(any_size, "mnist", few)
  monkeypatch.setattr(changed, "BATCH", 100)
  findings = any_size.any_size(quick=True, epochs=0.5, seeds=1, out=tmp_path)
  assert [f.ours for f in findings[:2]] == ["3 of 3", "1 of 3"]
  assert findings[0].holds and findings[1].holds
  assert [f.what for f in findings[2:5]] == ["pixels 32", "pixels 48", "pixels 64"]
  assert Image.open(tmp_path / "any_size.png").size > (300, 200)


def test_a_gain_within_the_noise_is_left_open():
  assert gain(np.asarray([2.0])) == ("+2.00 points (1 seed)", None)
  assert gain(np.asarray([1.0, 2.0, 1.5])) == (
    "+1.50 ± 0.29 points (standard error)",
    True,
  )
  assert gain(np.asarray([-1.0, -2.0]))[1] is False
  assert gain(np.asarray([-1.0, 2.0]))[1] is None


def test_gates_cost_little():
  parameters, cost = squeeze._cost("parameters"), squeeze._cost("multiply_adds")
  assert parameters.ours == "269,722 to 272,095: +0.88 %" and parameters.holds and cost.holds


def test_overlay_pairs_by_colour():
  lines = {name: [(0, 1), (1, 2)] for name in ("plain20", "plain56", "resnet20", "resnet56")}
  (axes,) = overlay(lines, xlabel="x", ylabel="y").axes
  assert [line.get_color() for line in axes.lines] == ["C0", "C0", "C1", "C1"]
  assert [line.get_linestyle() for line in axes.lines] == ["--", "-", "--", "-"]
