"""Kills a run again and again, and compares what comes out with a run that was left alone.

  python -m tests.campaign.kill [--kills=20] [--seed=0] [--folder=DIR] [-- TRAIN_FLAGS...]

Each attempt gets SIGKILL at a random instant: every second one while a checkpoint is being written,
the others anywhere. Prints each kill, and at the end how many there were and whether parameters,
optimiser state, average and metrics.jsonl (clock fields apart) are the same bits.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIG = (  # a few seconds of training that saves all the time
  "--config=configs/classification/lenet5_digits.py:quick",
  "--config.train.epochs=6",
  "--config.train.evaluate_every=2",
  "--config.train.ema=0.9",
  "--config.train.log_every=7",
  "--config.checkpoint.every=4",
)


def start(folder, flags=CONFIG, stderr=subprocess.STDOUT):
  """Starts a training in a process of its own."""
  return subprocess.Popen(
    [sys.executable, "-m", "experiments.train", f"--workdir={folder}", *flags],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=stderr,
    text=True,
  )


def finish(folder, flags=CONFIG):
  """Trains to the end. Raises: AssertionError with what was printed where it fails."""
  process = start(folder, flags)
  told, _ = process.communicate()
  assert process.returncode == 0, told
  return told


def kill_once(folder, rng, while_saving, flags=CONFIG):
  """Kills one attempt at a random instant; returns where it stood, None where it had finished."""
  process = start(folder, flags)
  for line in process.stdout:
    if line.startswith("devices"):  # the last line before training
      break
  saves, until = rng.randint(1, 4), time.monotonic() + rng.uniform(0, 4)
  seen = set()
  while process.poll() is None:
    scratch = {p.name for p in Path(folder, "checkpoints").glob("*.orbax-checkpoint-tmp")}
    seen |= scratch
    if while_saving and scratch and len(seen) >= saves:
      time.sleep(rng.uniform(0, 0.03))
      break
    if not while_saving and time.monotonic() > until:
      break
    time.sleep(0.0005)
  if process.poll() is not None:
    assert process.returncode == 0, process.stdout.read()
    return None
  process.kill()
  process.wait()
  there = [p.name for p in Path(folder, "checkpoints").glob("*")]
  return ", ".join(sorted(there)) or "no checkpoint yet"


def state_of(folder):
  """Returns the leaves of all that a finished run saved last, by their path, and its metrics."""
  import jax
  import orbax.checkpoint as ocp

  from cnnjax.engine.log import CLOCK
  from cnnjax.engine.record import read_rows

  steps = [int(p.name) for p in Path(folder, "checkpoints").iterdir() if p.name.isdecimal()]
  with ocp.PyTreeCheckpointer() as reader:
    saved = reader.restore(Path(folder, "checkpoints", str(max(steps)), "state").absolute())
  leaves = {jax.tree_util.keystr(k): v for k, v in jax.tree.leaves_with_path(saved)}
  rows = read_rows(Path(folder, "metrics.jsonl"))
  return leaves, [json.dumps({k: v for k, v in r.items() if k not in CLOCK}) for r in rows]


def differences(one, other):
  """Returns what is not the same bits in two finished runs."""
  (leaves, rows), (others, other_rows) = state_of(one), state_of(other)
  assert leaves.keys() == others.keys() and any("ema" in k for k in leaves)
  found = [k for k in leaves if leaves[k].tobytes() != others[k].tobytes()]
  return (
    found
    + [f"metrics.jsonl: {a} / {b}" for a, b in zip(rows, other_rows) if a != b]
    + (
      [f"metrics.jsonl: {len(rows)} and {len(other_rows)} rows"]
      if len(rows) != len(other_rows)
      else []
    )
  )


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--kills", type=int, default=20)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--folder", default=None)
  parser.add_argument("flags", nargs="*", default=list(CONFIG))
  options = parser.parse_args()
  rng = random.Random(options.seed)
  base = Path(options.folder or tempfile.mkdtemp(prefix="campaign"))
  finish(base / "whole", options.flags)
  kills, runs, bad = 0, 0, 0
  while kills < options.kills:
    runs += 1
    folder = base / f"killed{runs}"
    while kills < options.kills:
      where = kill_once(folder, rng, kills % 2 == 0, options.flags)
      if where is None:
        break
      kills += 1
      print(f"kill {kills:3} of run {runs}: {where}", flush=True)
    finish(folder, options.flags)
    found = differences(base / "whole", folder)
    bad += bool(found)
    print(f"run {runs}: {'the same bits' if not found else found[:5]}", flush=True)
  print(f"{kills} kills in {runs} runs; {runs - bad} of {runs} runs ended with the same bits")
  sys.exit(bool(bad))


if __name__ == "__main__":
  os.environ.setdefault("PYTHONUNBUFFERED", "1")
  main()
