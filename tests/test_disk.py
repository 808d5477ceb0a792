"""A disk that is full or may not be written: one sentence, and on once there is room."""

import subprocess

import pytest

from tests.campaign.kill import CONFIG
from tests.experiments.test_scripts import command

FLAGS = (*CONFIG, "--config.model.name=mlp")


@pytest.fixture
def disk(tmp_path):
  """Mounts a file system of any size at a folder, which takes root."""
  place = tmp_path / "disk"
  place.mkdir()

  def mount(options):
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
    try:
      done = subprocess.run(command, capture_output=True)
    except FileNotFoundError:
      pytest.skip("there is no mount")
    if done.returncode:
      pytest.skip("a file system of our own needs root")
    return place

  yield mount
  subprocess.run(["umount", place], capture_output=True)


def told(folder):
  """Returns the one sentence on standard error that a training ended with."""
  done = command("train", f"--workdir={folder}", *FLAGS)
  assert done.returncode == 2, done
  assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
  return done.stderr


@pytest.mark.parametrize("size", ["20k", "1m"])
def test_a_full_disk(disk, size):
  folder = disk(f"size={size}") / "run"
  error = told(folder)
  assert str(folder) in error and "could not be written" in error and "No space left" in error
  disk("remount,size=100m")
  done = command("train", f"--workdir={folder}", *FLAGS)
  assert done.returncode == 0 and "test" in done.stdout, done.stderr


def test_a_disk_that_may_not_be_written(disk):
  folder = disk("size=1m,ro") / "run"
  assert f"{folder} could not be written: Read-only file system" in told(folder)
