"""The course's table of detectors: how each is set up, and what is made of the figures."""

import json

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.engine.config import check, resolve
from cnnjax.errors import UserError
from experiments.claims import detectors
from experiments.claims.trainings import HERE
from experiments.launch import read_config


def base(mode):
  return read_config(f"{HERE / 'configs' / 'detection' / 'ssd_scenes'}.py:{mode}")


@pytest.mark.parametrize("name", detectors.SYSTEMS)
def test_each_system_is_a_config(name):
  system = detectors.SYSTEMS[name]
  for mode in ("quick", "full"):
    config = detectors._config(base(mode), system, mode == "quick")
    check(config)
    assert config.model.name == system.model
    assert bool(config.data.proposals) == system.searches
  config.data.proposals, config.data.arguments = {}, {"examples": 10}
  config.data.resize = (192, 192)
  model = cnnjax.create_model(name=system.model, **resolve(config)[0].model.arguments)
  shapes = jax.eval_shape(
    lambda key: model.init(key, np.zeros((1, 192, 192, 3), np.float32), train=False),
    jax.random.key(0),
  )
  own = "conv1" if name == "Fast YOLO" else "stage5_1"
  assert own in shapes["params"]["trunk"]


def test_findings_are_of_the_whole_and_of_the_network():
  row = dict(seconds=0.2, search=0.8, map50=0.5)
  table = {name: dict(row) for name in detectors.SYSTEMS}
  table["Faster R-CNN"] = dict(seconds=0.1, search=0.0, map50=0.6)
  table["YOLO"] = dict(seconds=0.2, search=0.0, map50=0.5)
  found = {f.what: f for f in detectors._findings(table)}
  step = found["Faster R-CNN over Fast R-CNN, speed"]
  assert step.ours == "10.00 times, network alone 2.00" and step.holds
  assert step.deck == "5.4 times faster"
  assert found["YOLO over Faster R-CNN, speed"].holds is False
  gain = found["Faster R-CNN over Fast R-CNN, AP50"]
  assert (gain.deck, gain.ours, gain.holds) == ("+8.8 points", "+10.0 points", True)
  assert found["SPPnet over R-CNN, AP50"].holds is None  # the deck says nothing


def test_other_data():
  with pytest.raises(UserError, match="unknown --data of claim detectors 'bcd'; did you mean bccd"):
    detectors.detectors(data="bcd")


def test_the_fastest_of_them(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(detectors, "SYSTEMS", {"Fast YOLO": detectors.SYSTEMS["Fast YOLO"]})
  monkeypatch.setattr(detectors, "STEPS", (("Fast YOLO", "Fast YOLO"),))
  speed, accuracy = detectors.detectors(quick=True, epochs=0.25, out=tmp_path)
  assert speed.ours == "1.00 times, network alone 1.00" and accuracy.ours == "+0.0 points"
  (row,) = json.loads((tmp_path / "detectors.json").read_text()).values()
  assert row["seconds"] > 0 == row["search"] and 0 <= row["map50"] <= 1
  assert "network, ms" in capsys.readouterr().out
