"""The log asks the device for a step's sums only when later steps are under way."""

import math

from cnnjax.engine.log import LAG, Log
from cnnjax.engine.record import read_rows


class Sum:
  """Stands for an array on the device: notes when it is fetched."""

  def __init__(self, step, fetched):
    self.step, self.fetched = step, fetched

  def __float__(self):
    self.fetched.append(self.step)
    return float(self.step)


def test_sums_are_fetched_late_and_all_of_them(tmp_path):
  fetched = []
  options = dict(steps=9, steps_per_epoch=3.0, batch_size=4, every=6, rate=lambda step: 0.1)
  with Log(tmp_path, start=0, **options) as log:
    for step in range(1, 6):
      log.step(step, {"loss": (Sum(step, fetched), 1.0)})
      assert fetched == list(range(1, step - LAG + 1))
    log.step(6, {"loss": (Sum(6, fetched), 1.0)})  # a row waits for all it tells of
    assert fetched == [1, 2, 3, 4, 5, 6]
    log.step(7, {"loss": (Sum(7, fetched), 1.0)})
    log.check()
    notes = log.notes()
  (row,) = read_rows(tmp_path / "metrics.jsonl")
  assert (row["step"], row["loss"]) == (6, 3.5)
  with Log(tmp_path, start=7, notes=notes, **options) as log:  # goes on as if never cut off
    for step in (8, 9):
      log.step(step, {"loss": (Sum(step, []), 1.0)})
    log.row(9)
  assert [(r["step"], r["loss"]) for r in read_rows(tmp_path / "metrics.jsonl")] == [
    (6, 3.5),
    (9, 8),
  ]


def test_lines_tell_a_loss_with_its_parts(tmp_path, capsys):
  options = dict(steps=2, steps_per_epoch=2.0, batch_size=4, every=1, rate=lambda step: 0.1)
  with Log(tmp_path, start=0, **options) as log:
    log.step(1, {"box_loss": (1.0, 2.0), "class_loss": (3.0, 2.0), "loss": (4.0, 2.0)})
    log.evaluation(1, "test", {"map50": 0.75, "ap": 0.5, "ap50": 0.7, "per_class": []})
  train, test = capsys.readouterr().out.splitlines()
  assert "loss 2.0000  box_loss 0.5000  class_loss 1.5000" in train
  assert test.split("test")[1].strip() == "map50 0.7500  ap 0.5000"
  assert [row.get("box_loss") for row in read_rows(tmp_path / "metrics.jsonl")] == [0.5, None]


def test_what_is_not_defined_is_a_row_but_no_point_of_a_curve(tmp_path, caplog):
  options = dict(steps=2, steps_per_epoch=2.0, batch_size=4, every=1, rate=lambda step: 0.1)
  with Log(tmp_path, start=0, **options) as log:
    log.evaluation(1, "test", {"ap": 0.5, "ap_large": math.nan})
  (row,) = read_rows(tmp_path / "metrics.jsonl")
  assert row["ap"] == 0.5 and math.isnan(row["ap_large"])
  assert not caplog.records
