"""Two processes on loopback: one run, the same numbers, and an end when one of them is lost."""

import signal
import socket
import time

import pytest

from cnnjax.engine.record import read_rows
from cnnjax.engine.run import newest
from tests.campaign.kill import CONFIG
from tests.experiments.test_scripts import Started, command

FLAGS = (
  *CONFIG,
  "--config.model.name=mlp",
  "--config.optim.name=sgd",
  "--config.data.validation=0.15",
)


def start_pair(folder):
  """Starts two processes of one run, each with one device."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  among = f"--coordinator={address}", "--processes=2"
  return [
    Started("train", f"--workdir={folder}", *FLAGS, *among, f"--process={i}") for i in range(2)
  ]


def test_two_processes_are_one_run_and_survive_a_loss(tmp_path):
  alone = command("train", f"--workdir={tmp_path / 'alone'}", *FLAGS)
  assert alone.returncode == 0, alone.stderr
  folder = tmp_path / "pair"
  for lost in (1, 0):  # where process 0 is lost, jaxlib aborts the others
    pair = start_pair(folder)
    pair[0].wait_for_row(folder)
    pair[lost].signal(signal.SIGKILL)
    since = time.monotonic()
    left = pair[1 - lost].end(timeout=90)
    assert left.returncode == 3, left
    last = left.stderr.splitlines()[-1]
    assert last.startswith("error: another process of this run was lost")
    step = newest(folder)
    assert last.endswith("begins anew: no step is saved" if step is None else f"from step {step}")
    assert "Traceback" not in left.stderr
    assert time.monotonic() - since < 70
    pair[lost].end()

  pair = start_pair(folder)
  pair[0].wait_for_row(folder)
  pair[1].signal(signal.SIGTERM)  # on either: both save the same step and end
  done = [p.end(timeout=90) for p in pair]
  assert [d.returncode for d in done] == [143, 143], done
  first, second = (d.stderr.split("stopped after")[1].split()[1] for d in done)
  assert first == second

  pair = start_pair(folder)
  done = [p.end(timeout=120) for p in pair]
  assert [d.returncode for d in done] == [0, 0], done
  assert "goes on from step" in done[0].stdout
  told = done[1].stdout + done[1].stderr
  assert "run " not in told and "epoch" not in told  # only the primary tells and writes
  rows, wanted = (read_rows(tmp_path / name / "metrics.jsonl") for name in ("pair", "alone"))
  assert [(r["step"], r["split"]) for r in rows] == [(r["step"], r["split"]) for r in wanted]
  for row, want in zip(rows[:2], wanted):  # plain rounding grows with the steps
    assert row["loss"] == pytest.approx(want["loss"], rel=1e-5)
  assert rows[-1]["loss"] == pytest.approx(wanted[-1]["loss"], rel=1e-2)


@pytest.mark.parametrize(
  ("flags", "sentence"),
  [
    (["--processes=2"], "need all of --coordinator, --processes and --process"),
    (["--coordinator=127.0.0.1:9", "--processes=2", "--process=2"], "must be below --processes 2"),
  ],
)
def test_flags_that_do_not_fit(tmp_path, flags, sentence):
  done = command("train", f"--workdir={tmp_path / 'run'}", *flags)
  assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
  assert not (tmp_path / "run").exists()
