"""Watches a run of 20,000 steps: memory, file handles, threads and disk must stay flat.

  python -m tests.campaign.long [--steps=20000]

LeNet-5 in batches of 8 generated images, saved every 500 steps. Prints what /proc and the run
folder say while it goes on, and exits with 1 where the last quarter stands above the second: memory
and disk by more than 5 % (and 0.2 MiB for the log), handles or threads by more than 2.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.campaign.kill import ROOT

BATCH, EXAMPLES = 8, 460  # of the quick config's training split


def command(folder, steps):
  """Returns the training's command line."""
  flags = {
    "data.batch_size": BATCH,
    "train.epochs": steps * BATCH / EXAMPLES,
    "train.evaluate_every": 20.0,
    "train.log_every": 100,
    "checkpoint.every": 500,
  }
  config = "--config=configs/classification/lenet5_digits.py:quick"
  told = [f"--config.{key}={value}" for key, value in flags.items()]
  return [sys.executable, "-m", "experiments.train", f"--workdir={folder}", config, *told]


def sample(process, folder):
  """Returns step, resident MiB, handles, threads and MiB on disk."""
  proc = Path("/proc", str(process))
  status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
  files = [p for p in Path(folder).rglob("*") if p.is_file()]
  log = Path(folder, "metrics.jsonl")
  rows = log.read_text().count('"train"') if log.exists() else 0
  return {
    "step": 100 * rows,
    "memory": int(status["VmRSS"].split()[0]) / 1024,
    "handles": len(list((proc / "fd").iterdir())),
    "threads": int(status["Threads"]),
    "disk": sum(p.stat().st_size for p in files if p.exists()) / 2**20,
  }


def watch(folder, steps):
  """Returns the samples of a whole run, a second apart."""
  with tempfile.TemporaryFile() as told:
    process = subprocess.Popen(
      command(folder, steps), cwd=ROOT, env=os.environ, stdout=told, stderr=subprocess.STDOUT
    )
    samples = []
    while process.poll() is None:
      try:
        samples.append(sample(process.pid, folder))
      except OSError:  # it has just ended, or deletes an old checkpoint
        pass
      time.sleep(1)
    told.seek(0)
    assert process.returncode == 0, told.read().decode()
  return samples


def grown(samples, steps):
  """Returns what stands higher in the last quarter than in the second."""
  early = [s for s in samples if steps / 4 <= s["step"] < steps / 2]
  late = [s for s in samples if s["step"] >= 3 * steps / 4]
  top = {key: (max(s[key] for s in early), max(s[key] for s in late)) for key in early[0]}
  bounds = {"memory": 1.05 * top["memory"][0], "disk": 1.05 * top["disk"][0] + 0.2}
  bounds |= {key: top[key][0] + 2 for key in ("handles", "threads")}
  return {key: top[key] for key, bound in bounds.items() if top[key][1] > bound}


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--steps", type=int, default=20_000)
  steps = parser.parse_args().steps
  samples = watch(Path(tempfile.mkdtemp(prefix="long"), "run"), steps)
  print("    step  memory MiB  handles  threads  disk MiB")
  for s in samples[:: max(1, len(samples) // 20)] + samples[-1:]:
    print("{step:8} {memory:11.0f} {handles:8} {threads:8} {disk:9.1f}".format(**s))
  found = grown(samples, steps)
  print(f"grown: {found}" if found else "flat")
  sys.exit(bool(found))


if __name__ == "__main__":
  main()
