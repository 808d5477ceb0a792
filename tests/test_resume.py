"""A run killed, stopped or moved ends as one that was left alone."""

import os
import random
import signal
import subprocess
import sys

import pytest

from cnnjax.engine.run import read_rows
from tests.campaign.kill import CONFIG, ROOT, differences, finish, kill_once, start

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "whole"
  finish(folder)
  return folder


def test_killed_runs_end_with_the_same_bits(whole, tmp_path):
  rng = random.Random(0)
  kills = [kill_once(tmp_path / "run", rng, while_saving) for while_saving in (True, False, True)]
  assert kills[0] is not None
  assert "goes on from step" in finish(tmp_path / "run") or None in kills
  assert differences(whole, tmp_path / "run") == []


def test_sigterm_saves_says_so_and_ends(whole, tmp_path):
  folder = tmp_path / "run"
  process = start(folder)
  for line in process.stdout:
    if line.startswith("epoch"):
      break
  process.send_signal(signal.SIGTERM)
  told = process.communicate(timeout=60)[0]
  assert process.returncode == 128 + signal.SIGTERM, told
  step = int(told.split("stopped after step ")[1].split()[0])
  assert (folder / "checkpoints" / str(step) / "SHA256SUMS").exists()
  assert f"goes on from step {step} of" in finish(folder)
  assert differences(whole, folder) == []


def test_a_second_process_is_refused(tmp_path):
  first = start(tmp_path / "run", (*CONFIG, "--config.train.epochs=200"))
  for line in first.stdout:
    if line.startswith("devices"):
      break
  second = start(tmp_path / "run", (*CONFIG, "--config.train.epochs=200"))
  told = second.communicate()[0]
  first.kill()
  first.communicate()
  assert second.returncode == 2
  assert f"is in use: process {first.pid} on" in told and told.count("\n") == 1


def test_saved_on_eight_devices_restored_on_one_on_two_and_back(tmp_path):
  folder, steps = tmp_path / "run", []
  flags = [f"--workdir={folder}", *CONFIG, "--config.mesh.parameters=sharded"]
  for devices in (8, 1, 2, 8):
    environment = os.environ | {
      "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
    }
    process = subprocess.Popen(
      [sys.executable, "-m", "experiments.train", *flags],
      cwd=ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    told = []
    for line in process.stdout:
      told.append(line)
      if line.startswith("epoch") and len(steps) < 3:
        process.send_signal(signal.SIGTERM)
    process.wait()
    told = "".join(told)
    assert f"devices  {devices} x" in told
    if steps:
      assert f"goes on from step {steps[-1]} of" in told
    if "stopped after step" in told:
      steps.append(int(told.split("stopped after step ")[1].split()[0]))
  assert process.returncode == 0 and len(steps) == 3
  assert [r["split"] for r in read_rows(folder / "metrics.jsonl")][-1] == "test"
