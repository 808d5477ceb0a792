"""What a compiled step sends, by hand and on LeNet-5."""

import pytest

from experiments.scaling import collectives, measure

PROGRAM = """
  %a = f32[6,4]{1,0} all-reduce(f32[6,4]{1,0} %x), channel_id=1
  %b = (f32[8]{0}, bf16[2,2]{1,0}) all-gather-start(f32[2]{0} %y, bf16[1,2]{1,0} %z), dimensions={0}
  %c = f32[3]{0} reduce-scatter(f32[12]{0} %w), channel_id=3
  %d = f32[9]{0} add(f32[9]{0} %p, f32[9]{0} %q)
"""


def test_bytes_by_hand():
  found = collectives(PROGRAM, devices=4)
  assert found == pytest.approx(
    {"all-reduce": 2 * 3 / 4 * 96, "all-gather": 3 / 4 * (32 + 8), "reduce-scatter": 3 * 12}
  )


def test_one_device_sends_nothing():
  config = "configs/classification/lenet5_digits.py:quick"
  row = measure(config, "replicated", batch=16, seconds=0.01)
  assert row["sent_bytes"] == {}
  assert row["state_bytes"] == pytest.approx(61_706 * 4 * 3, rel=0.01)  # parameters, Adam's two
