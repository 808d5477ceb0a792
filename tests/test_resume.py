"""A run killed, stopped or moved ends as one that was left alone."""

import os
import random
import signal

import pytest

from cnnjax.engine.record import read_rows
from tests.campaign.kill import CONFIG, differences, kill_once
from tests.experiments.test_scripts import Started, command

# The smallest network, since any has a state; a validation split would cost an import of a second.
FLAGS = (
  *CONFIG,
  "--config.model.name=logistic",
  "--config.data.validation=0.0",
  "--config.train.watch=test",
)
ENDLESS = (*FLAGS, "--config.train.epochs=2000")


def finish(folder):
  done = command("train", f"--workdir={folder}", *FLAGS)
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "whole"
  finish(folder)
  return folder


def test_killed_runs_end_with_the_same_bits(whole, tmp_path):
  rng, folder = random.Random(1), tmp_path / "run"
  kills = [kill_once(folder, rng, while_saving, FLAGS) for while_saving in (True, False, True)]
  assert kills[0] is not None
  assert "goes on from step" in finish(folder) or None in kills
  assert differences(whole, folder) == []


def test_sigterm_saves_says_so_and_ends(whole, tmp_path):
  folder = tmp_path / "run"
  run = Started("train", f"--workdir={folder}", *FLAGS)
  run.wait_for_row(folder)
  run.signal(signal.SIGTERM)
  done = run.end(timeout=60)
  assert done.returncode == 128 + signal.SIGTERM, done
  step = int(done.stderr.split("stopped after step ")[1].split()[0])
  assert (folder / "checkpoints" / str(step) / "SHA256SUMS").exists()
  assert f"goes on from step {step} of" in finish(folder)
  assert differences(whole, folder) == []


def test_a_second_process_is_refused(tmp_path):
  folder = tmp_path / "run"
  first = Started("train", f"--workdir={folder}", *ENDLESS)
  first.wait_for_row(folder)
  second = command("train", f"--workdir={folder}", *ENDLESS)
  first.signal(signal.SIGKILL)
  assert first.end().returncode == -signal.SIGKILL
  assert second.returncode == 2
  told = second.stderr
  assert f"is in use: process {first.process.pid} on" in told and told.count("\n") == 1


def test_saved_on_eight_devices_restored_on_one_on_two_and_back(tmp_path):
  folder, steps = tmp_path / "run", []
  flags = [f"--workdir={folder}", *FLAGS, "--config.mesh.parameters=sharded"]
  for devices in (8, 1, 2, 8):
    count = f"--xla_force_host_platform_device_count={devices}"
    run = Started("train", *flags, XLA_FLAGS=f"{os.environ['XLA_FLAGS']} {count}")
    if len(steps) < 3:
      run.wait_for_row(folder)
      run.signal(signal.SIGTERM)
    done = run.end()
    assert f"devices  {devices} x" in done.stdout
    if steps:
      assert f"goes on from step {steps[-1]} of" in done.stdout
    if "stopped after step" in done.stderr:
      steps.append(int(done.stderr.split("stopped after step ")[1].split()[0]))
  assert done.returncode == 0 and len(steps) == 3
  assert read_rows(folder / "metrics.jsonl")[-1]["split"] == "test"
