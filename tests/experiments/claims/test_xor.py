"""XOR: what a line cannot divide, a network can."""

import numpy as np
from PIL import Image

from cnnjax.engine.record import read_rows
from experiments.claims.xor import points, xor


def test_points():
  image, label = points(1000, np.random.default_rng(0))
  assert image.shape == (1000, 1, 2) and image.dtype == np.uint8
  same = (image[:, 0, 0] > 127.5) == (image[:, 0, 1] > 127.5)
  assert (label == same).all() and 400 < label.sum() < 600


def test_xor(tmp_path):
  findings = {f.what: f for f in xor(epochs=60, seeds=1, out=tmp_path)}
  accuracy = {what: float(f.ours.split()[0]) for what, f in findings.items()}
  assert accuracy["logistic, its own points"] < 75 < 90 < accuracy["network, its own points"]
  assert accuracy["logistic, new points"] < 75 < 90 < accuracy["network, new points"]
  assert findings["logistic, its own points"].deck == "53 %"
  assert Image.open(tmp_path / "xor.png").size > (1200, 300)
  assert read_rows(tmp_path / "mlp_0" / "metrics.jsonl")[-1]["step"] == 375
