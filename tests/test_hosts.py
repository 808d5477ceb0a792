"""Two processes on loopback: one run, the same numbers, and an end when one of them is lost."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from cnnjax.engine.run import read_rows
from tests.campaign.kill import CONFIG, ROOT, finish

pytestmark = pytest.mark.slow
FLAGS = (*CONFIG, "--config.optim.name=sgd", "--config.data.validation=0.15")


def start_pair(folder, flags=FLAGS):
  """Starts two processes of one run, each with one device."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  return [
    subprocess.Popen(
      [
        *(sys.executable, "-m", "experiments.train", f"--workdir={folder}", *flags),
        *(f"--coordinator={address}", "--processes=2", f"--process={i}"),
      ],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for i in range(2)
  ]


def wait_for(process, start):
  for line in process.stdout:
    if line.startswith(start):
      return


def test_two_processes_are_one_run_and_survive_a_loss(tmp_path):
  finish(tmp_path / "alone", FLAGS)
  pair = start_pair(tmp_path / "pair")
  wait_for(pair[0], "epoch")
  pair[1].kill()
  lost = time.monotonic()
  told = pair[0].communicate(timeout=90)[0]
  assert pair[0].returncode == 3, told
  assert "error: another process of this run was lost" in told and "Traceback" not in told
  assert time.monotonic() - lost < 70
  pair[1].communicate()

  pair = start_pair(tmp_path / "pair")
  wait_for(pair[0], "epoch")
  pair[1].send_signal(signal.SIGTERM)  # on either: both save the same step and end
  told = [p.communicate(timeout=90)[0] for p in pair]
  assert [p.returncode for p in pair] == [143, 143], told
  assert (
    told[0].split("stopped after")[1].split()[1] == told[1].split("stopped after")[1].split()[1]
  )

  pair = start_pair(tmp_path / "pair")
  told = [p.communicate(timeout=120)[0] for p in pair]
  assert [p.returncode for p in pair] == [0, 0], told
  assert "goes on from step" in told[0]
  assert "run " not in told[1] and "epoch" not in told[1]  # only the primary tells and writes
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
  done = subprocess.run(
    [sys.executable, "-m", "experiments.train", f"--workdir={tmp_path / 'run'}", *flags],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
  assert not (tmp_path / "run").exists()
