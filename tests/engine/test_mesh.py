"""Devices: which batches they can share, and that sharing one changes nothing."""

import json
import os

import numpy as np
import pytest

from cnnjax.engine.mesh import check_batch, make_mesh, shard, split
from cnnjax.engine.record import read_rows
from cnnjax.errors import UserError
from tests.experiments.test_scripts import command


class Eight:
  """Stands for a mesh of eight devices."""

  shape = {"data": 8}


@pytest.mark.parametrize(("size", "nearest"), [(101, 104), (4, 8), (12, 16), (63, 64), (9, 8)])
def test_a_batch_that_devices_do_not_divide(size, nearest):
  with pytest.raises(UserError, match=f"the nearest that can is {nearest}$"):
    check_batch(size, Eight)
  check_batch(64, Eight)


COUNT = "--xla_force_host_platform_device_count"


def test_a_batch_lies_on_the_mesh():
  mesh = make_mesh(1)
  batch = shard({"image": np.arange(8.0)}, mesh)
  assert batch["image"].sharding == split(mesh)
  np.testing.assert_array_equal(batch["image"], np.arange(8.0))


def test_eight_devices_train_as_one(tmp_path):
  """The whole quick run, evaluations too, on one device and cut over eight simulated ones.

  On the eight also with three steps a dispatch, the data on each device, and parameters sharded.
  The network is small: tests/test_devices.py has convolutions and batch norm.
  """
  more = ("--config.train.steps_per_dispatch=3", "--config.mesh.parameters=sharded")
  for name, devices, changes in (("1", 1, ()), ("8", 8, ()), ("many", 8, more)):
    done = command(
      *("train", f"--workdir={tmp_path / name}", "--config=lenet5_digits:quick"),
      "--config.model.name=mlp",
      *("--config.train.epochs=0.5", "--config.optim.name=sgd", "--config.train.ema=0.9"),
      *("--config.train.accumulate=2", *changes),
      XLA_FLAGS=f"{os.environ['XLA_FLAGS']} {COUNT}={devices}",
    )
    assert done.returncode == 0, done.stderr
    (environment,) = json.loads((tmp_path / name / "environment.json").read_text())
    assert len(environment["devices"]) == devices
  one, *others = (read_rows(tmp_path / d / "metrics.jsonl") for d in ("1", "8", "many"))
  assert len(one) == 3
  for other in others:
    for a, b in zip(one, other, strict=True):
      assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
      assert a["accuracy"] == b["accuracy"]
