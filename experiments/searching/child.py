"""A trial of a sweep: the train command in a process of its own, which ends with the sweep.

Its rows are read from its metrics.jsonl, so that the engine need not know that it is a trial.
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

from cnnjax.engine.run import locked, read_rows
from cnnjax.errors import UserError

from .space import write_config


@dataclass
class Training:
  """A trial that trains.

  Attributes:
    trial: of optuna.
    folder: of the run; its config lies beside it as <folder>.py, what it prints as <folder>.log.
    process: that trains.
    values: of the metric, as far as they have been read.
    began: when, on time.monotonic's clock.
    hopeless: whether it was stopped for that.
  """

  trial: Any
  folder: Path
  process: subprocess.Popen
  values: list[float]
  began: float
  hopeless: bool = False

  def news(self, split: str, metric: str) -> list[tuple[int, float]]:
    """Returns (evaluation from 0, value) of the evaluations since the last call."""
    rows = read_rows(self.folder / "metrics.jsonl")
    values = [row.get(metric, math.nan) for row in rows if row["split"] == split]
    new = list(enumerate(values))[len(self.values) :]
    self.values += [value for _, value in new]
    return new

  def stop(self) -> None:
    """Asks it to save and end."""
    self.process.terminate()

  def failure(self) -> str:
    """Returns why it has ended without a value, in a line."""
    if self.process.returncode == 0:
      return f"it ended with the value {self.values[-1] if self.values else None}"
    if self.process.returncode < 0:
      name = signal.Signals(-self.process.returncode).name
      return f"ended by {name}" + (", out of memory?" if name == "SIGKILL" else "")
    lines = self.folder.with_suffix(".log").read_text(errors="replace").split("\n")
    lines = [line for line in lines if line.strip()]
    told = [line for line in lines if line.startswith("error: ")] or lines or ["nothing was said"]
    return told[-1].removeprefix("error: ")


def begin(trial: Any, config: Any, folder: Path, title: str) -> Training:
  """Starts to train a config in a run folder, or goes on there."""
  write_config(folder.with_suffix(".py"), config, title)
  flags = f"--config={folder.with_suffix('.py')}", f"--workdir={folder}"
  with folder.with_suffix(".log").open("w") as log:
    process = subprocess.Popen(
      [sys.executable, "-m", __name__, *flags],
      stdin=subprocess.PIPE,  # see _end_with_sweep
      stdout=log,
      stderr=subprocess.STDOUT,
      start_new_session=True,  # a Ctrl-C is for the sweep, which asks it to save
    )
  return Training(trial, folder, process, [], time.monotonic())


def wait_until_free(folder: Path) -> None:
  """Returns once nobody trains in a run folder: a training outlives its sweep until it saves."""
  while (folder / "lock").exists():
    try:
      with locked(folder):
        return
    except UserError:
      time.sleep(0.2)


def _end_with_sweep():
  """Waits for the end of the pipe from the sweep, which comes however the sweep ends."""
  os.read(0, 1)
  os.kill(os.getpid(), signal.SIGTERM)  # on Windows this ends it at once, without saving


if __name__ == "__main__":
  threading.Thread(target=_end_with_sweep, daemon=True).start()
  train = f"{__package__.rpartition('.')[0]}.train"  # experiments.train, or as it is installed
  runpy.run_module(train, run_name="__main__", alter_sys=True)
