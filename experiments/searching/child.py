"""A trial of a sweep: the train command in a process of its own, which ends with the sweep.

The sweep reads the trial's metrics.jsonl, so that the engine has no code for trials.
"""

import math
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnjax.engine.record import read_rows
from cnnjax.engine.run import locked
from cnnjax.errors import UserError

from .space import write_config


@dataclass
class Training:
  """A trial whose training is under way.

  Attributes:
    trial: of optuna.
    folder: of the run; beside it <folder>.py is its config and <folder>.log what it prints.
    process: that trains.
    values: of the metric, those that have been read so far.
    began: start time, by time.monotonic.
    pruned: whether it was stopped because optuna prunes it.
  """

  trial: Any
  folder: Path
  process: subprocess.Popen
  values: list[float]
  began: float
  pruned: bool = False

  def news(self, split: str, metric: str) -> list[tuple[int, float]]:
    """Returns (evaluation from 0, value) of the evaluations since the last call."""
    rows = read_rows(self.folder / "metrics.jsonl")
    values = [row.get(metric, math.nan) for row in rows if row["split"] == split]
    new = list(enumerate(values))[len(self.values) :]
    self.values += [value for _, value in new]
    return new

  def stop(self) -> None:
    """Sends it SIGTERM, after which it saves and ends."""
    self.process.terminate()

  def failure(self) -> str:
    """Returns in one line why it has ended without a value."""
    if self.process.returncode == 0:
      return f"it ended with the value {self.values[-1] if self.values else None}"
    if self.process.returncode < 0:
      name = signal.Signals(-self.process.returncode).name
      return f"ended by {name}" + (", out of memory?" if name == "SIGKILL" else "")
    lines = self.folder.with_suffix(".log").read_text(errors="replace").split("\n")
    lines = [line for line in lines if line.strip()]
    found = [line for line in lines if line.startswith("error: ")] or lines or ["nothing was said"]
    return found[-1].removeprefix("error: ")


def begin(trial: Any, config: Any, folder: Path, title: str) -> Training:
  """Starts a process that trains a config in a run folder, or continues the run there."""
  write_config(folder.with_suffix(".py"), config, title)
  flags = f"--config={folder.with_suffix('.py')}", f"--workdir={folder}"
  with folder.with_suffix(".log").open("w") as log:
    process = subprocess.Popen(
      [sys.executable, "-m", __name__, *flags],
      stdin=subprocess.PIPE,  # see _end_with_sweep
      stdout=log,
      stderr=subprocess.STDOUT,
      start_new_session=True,  # Ctrl-C reaches only the sweep, which then sends SIGTERM
    )
  return Training(trial, folder, process, [], time.monotonic())


def wait_until_free(folder: Path) -> None:
  """Returns once no process trains in a run folder: a training saves after its sweep has ended."""
  while (folder / "lock").exists():
    try:
      with locked(folder):
        return
    except UserError:
      time.sleep(0.2)


def _end_with_sweep():
  """Waits until the pipe from the sweep closes, then ends the training.

  The pipe also closes where the sweep is killed.
  """
  os.read(0, 1)
  os.kill(os.getpid(), signal.SIGTERM)  # on Windows this ends the process without saving


if __name__ == "__main__":
  threading.Thread(target=_end_with_sweep, daemon=True).start()
  train = f"{__package__.rpartition('.')[0]}.train"  # or cnnjax.experiments.train
  runpy.run_module(train, run_name="__main__", alter_sys=True)
