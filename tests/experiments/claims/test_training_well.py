"""The claims about regularisation, augmentation and transfer, on generated data."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnjax.errors import UserError
from experiments.claims import augment, regularise, transfer
from experiments.claims.trainings import Trained, config_of

SMALL = partial(config_of, model="logistic")  # what is trained does not matter here


def test_regularise(tmp_path, monkeypatch, capsys):
  kept = {name: regularise.METHODS[name] for name in regularise.WEIGHTS}
  strong = {"L2": (("l2", 100.0, "kernel$"),), "L1": (("l1", 3.0, "kernel$"),)}
  kept |= {name: {"optim.penalties": rows} for name, rows in strong.items()}
  monkeypatch.setattr(regularise, "config_of", SMALL)
  monkeypatch.setattr(regularise, "METHODS", kept)
  monkeypatch.setattr(regularise, "CLOSERS", ("L1",))
  findings = regularise.regularise(quick=True, epochs=2, fraction=0.5, out=tmp_path)
  shown = {f.what: f for f in findings}
  assert shown["L2 shrinks the weights"].holds and shown["L1 makes weights zero"].holds
  assert Image.open(tmp_path / "weights.png").size > (900, 200)
  assert "weights that are zero" in capsys.readouterr().out


def test_augment(tmp_path, monkeypatch):
  monkeypatch.setattr(augment, "config_of", SMALL)
  monkeypatch.setattr(augment, "FRACTIONS", (0.25, 1.0))
  findings = augment.augment(quick=True, epochs=0.25, out=tmp_path)
  assert findings[0].what == "25% of the images" and findings[-1].holds is None  # one seed
  assert Image.open(tmp_path / "augment.png").size > (300, 200)


def test_transfer(tmp_path, monkeypatch):
  monkeypatch.setattr(transfer, "MODEL", "mlp")
  kept = {name: transfer.STARTS[name] for name in ("from scratch", "frozen trunk")}
  monkeypatch.setattr(transfer, "STARTS", kept)
  findings = transfer.transfer(quick=True, epochs=0.2, seeds=1, out=tmp_path)
  assert len(findings) == 4 and all(f.holds is None for f in findings[2:])
  assert Image.open(tmp_path / "transfer.png").size > (300, 200)


def test_transfer_needs_a_source_and_known_data():
  with pytest.raises(UserError, match="needs --source=RUN, a run that python -m experiments.train"):
    transfer.transfer()
  with pytest.raises(UserError, match="did you mean brain_tumor"):
    transfer.transfer(data="brain_tumour")


def test_early_and_late_points_are_of_the_watched_split():
  rows = [{"split": "train"}, *({"split": "test", "accuracy": a} for a in (0.5, 0.75, 0.75))]
  run = Trained({}, rows, (), Path())
  assert np.allclose(transfer._curve(run), [50, 75])
