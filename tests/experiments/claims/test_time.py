"""The claim about time: both networks for a moment, on generated clips and frames of them."""

from pathlib import Path

import pytest
from PIL import Image

from experiments.claims.time import interval, time
from experiments.claims.trainings import Trained


def test_the_interval_is_wilsons():
  runs = [Trained({"examples": 400, "accuracy": part}, [], (), Path()) for part in (0.1, 0.15)]
  assert interval(runs) == pytest.approx((10.38595, 14.97246), abs=1e-4)  # of 100 of 800, by hand


@pytest.mark.slow
def test_both_networks_for_a_moment(tmp_path):
  clips, frames, _ = time(seeds=1, quick=True, out=tmp_path)
  assert clips.deck == "above 95 %" and frames.deck == "12.5 %"
  assert clips.holds is False  # it has seen 256 clips
  assert Image.open(tmp_path / "time.png").size > (300, 300)
