"""A run's log: metrics.jsonl, TensorBoard events, and a progress bar or plain lines."""

import json
import math
import os
import sys
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from tensorboardX import SummaryWriter

from cnnjax.engine.record import read_rows, write_text, writing
from cnnjax.errors import UserError, say, some

CLOCK = ("images_per_second", "seconds")  # fields of a row that differ between equal runs
SHOWN = (
  *("loss", "accuracy", "mae", "rmse", "r2", "map50", "ap", "mask_ap"),
  *("pixel_accuracy", "mean_iou", "case_dice"),
)
LAG = 2  # steps whose logs are not fetched yet, so that the host does not wait for the device


class Diverged(UserError):
  """The loss or an update stopped being finite."""

  def __init__(self, step: int, name: str, value: float):
    super().__init__(f"{name} is {value} at step {step}")


class Log:
  """Collects each step's sums without waiting for the device, and writes their means in rows.

  Args:
    folder: of the run.
    start: the step from which training continues; rows after it are deleted.
    steps: of the whole run.
    steps_per_epoch: examples over batch size.
    batch_size: images in a step.
    every: steps between two rows.
    rate: learning rate as a function of the step.
    notes: what `notes()` returned at step `start`, for a run that continues.
    writes: whether this process writes and prints.
  """

  def __init__(
    self,
    folder: Path,
    *,
    start: int,
    steps: int,
    steps_per_epoch: float,
    batch_size: int,
    every: int,
    rate: Callable[[int], Any],
    notes: dict[str, Any] | None = None,
    writes: bool = True,
  ):
    self._folder, self._writes = folder, writes
    notes = notes or {"sums": {}, "counted": 0}
    self._marks: list[list] = []
    if writes:
      self._path = folder / "metrics.jsonl"
      rows = [row for row in read_rows(self._path) if row["step"] <= start]
      self._marks = [_mark(row) for row in rows]
      _tell_lost(self._path, self._marks, notes.get("rows", ()), start)
      write_text(self._path, "".join(json.dumps(row) + "\n" for row in rows))
      self._file = self._path.open("a", buffering=1)
      self._board = SummaryWriter(
        str(folder / "tensorboard"),
        purge_step=start + 1,  # hides what an interrupted run wrote after step `start`
      )
    self._steps_per_epoch, self._batch_size = steps_per_epoch, batch_size
    self._every, self._rate = every, rate
    self._pending: deque[tuple[int, Any, int]] = deque()
    self._sums: dict[str, list[float]] = notes["sums"]
    self._counted, self._timed = notes["counted"], 0
    self._born = self._clock = time.perf_counter()
    self._compiled = False
    terminal = sys.stdout.isatty()  # a notebook is none, even if its environment asks for colours
    self._console = Console(
      file=sys.stdout, highlight=False, force_terminal=terminal, force_jupyter=False
    )
    self._bar = _progress(self._console) if self._console.is_terminal and writes else None
    if self._bar:
      epochs = steps / steps_per_epoch
      self._shown = self._bar.add_task(
        self._epoch(start), total=steps, completed=start, text="compiles", epochs=epochs
      )
      self._bar.start()

  def step(self, step: int, logs: dict[str, Any], count: int = 1) -> None:
    """Adds the sums of `count` steps, of which `step` is the last, still on the device.

    Those of earlier steps are fetched now. For a `count` above 1 the sums have a leading axis.

    Raises: Diverged, a few steps late, where a loss or an update is not finite.
    """
    self._pending.append((step, logs, count))
    while len(self._pending) > LAG:
      self._take()
    if step % self._every == 0:
      self.row(step)

  def check(self) -> None:
    """Returns once the sums of all steps are fetched. Raises: Diverged."""
    while self._pending:
      self._take()

  def notes(self) -> dict[str, Any]:
    """Returns what a log that continues from here needs: the sums since the last row, and a mark
    of each row, all of which are on disk now.

    Raises: UserError where the rows are not there any more.
    """
    self.sync()
    return {"sums": self._sums, "counted": self._counted, "rows": self._marks}

  def sync(self) -> None:
    """Returns once the rows are on disk. Raises: UserError where their file was removed."""
    if not self._writes:
      return
    with writing(self._path):
      os.fsync(self._file.fileno())
    ours = os.fstat(self._file.fileno())
    if not self._path.exists() or not os.path.samestat(ours, self._path.stat()):
      gone = self._path if self._folder.exists() else self._folder
      raise UserError(f"{gone} was removed or replaced while this run was writing to it")

  def row(self, step: int) -> None:
    """Writes the means since the last row, if any step was taken since. Raises: Diverged."""
    self.check()
    if not self._counted:
      return
    self._write(step, "train", {**self._means(), "learning_rate": float(self._rate(step - 1))})
    self._sums, self._counted = {}, 0
    self.resume_clock()

  def evaluation(self, step: int, split: str, figures: dict[str, Any]) -> None:
    """Writes the figures of an evaluation."""
    self._write(step, split, scalars(figures))
    self.resume_clock()

  def resume_clock(self) -> None:
    """Starts to measure the speed anew, after time that was not spent on training."""
    self._clock, self._timed = time.perf_counter(), 0

  def say(self, text: str) -> None:
    """Prints a line, above the bar where there is one."""
    if self._writes:
      self._console.print(text, markup=False, soft_wrap=True)

  def _take(self) -> None:
    last, logs, count = self._pending.popleft()
    logs = jax.tree.map(np.atleast_1d, jax.device_get(logs))
    for index, step in enumerate(range(last - count + 1, last + 1)):
      for name, (totals, counts) in logs.items():
        value = float(totals[index])
        if not math.isfinite(value):
          raise Diverged(step, name, value)
        sums = self._sums.setdefault(name, [0.0, 0.0])
        sums[0] += value
        sums[1] += float(counts[index])
    self._counted += count
    self._timed += count
    if not self._compiled:  # the first step's time is mostly compile time
      self._compiled = True
      self.resume_clock()
    if self._bar:
      text, epoch = _as_text(self._means()), self._epoch(last)
      self._bar.update(self._shown, completed=last, description=epoch, text=text)

  def _means(self) -> dict[str, float]:
    means = {name: total / (count or 1) for name, (total, count) in self._sums.items()}
    if self._timed:
      seconds = time.perf_counter() - self._clock
      means["images_per_second"] = self._timed * self._batch_size / seconds
    return means

  def _epoch(self, step: int) -> str:
    return f"epoch {step / self._steps_per_epoch:.2f}"

  def _write(self, step: int, split: str, values: dict[str, float]) -> None:
    if not self._writes:
      return
    row = {"step": step, "epoch": step / self._steps_per_epoch, "split": split, **values}
    row["seconds"] = time.perf_counter() - self._born
    self._marks.append(_mark(row))
    with writing(self._folder):
      self._file.write(json.dumps(row) + "\n")
      for name, value in values.items():
        if math.isfinite(value):  # the AP of a class without boxes is NaN: no point on the curve
          self._board.add_scalar(f"{split}/{name}", value, step)
    if not self._bar or split != "train":
      parts = [name for name in values if name.endswith("_loss")]  # the bar has no room for them
      line = _as_text(values, ("loss", *parts, *SHOWN[1:]))
      self.say(f"{self._epoch(step):13} step {step:7} {split:10} {line}")

  def __enter__(self) -> "Log":
    return self

  def __exit__(self, *error: Any) -> None:
    if self._bar:
      self._bar.stop()
    if self._writes:
      with writing(self._folder):
        self._file.close()
        self._board.close()


def _mark(row: dict[str, Any]) -> list:
  """Returns the step and the split of a row, and a checksum of it."""
  return [row["step"], row.get("split"), zlib.crc32(json.dumps(row).encode())]


def _tell_lost(path: Path, there: list[list], saved: Sequence[list], step: int) -> None:
  """Says which of the rows that were saved with a checkpoint are gone, or not what they were."""
  kept = set(map(tuple, there))
  lost = [mark for mark in saved if tuple(mark) not in kept]
  if lost:
    known = {(at, split) for at, split, _ in there}
    named = [
      f"{split} of step {at}{' (changed)' if (at, split) in known else ''}" for at, split, _ in lost
    ]
    say(
      f"{path} lacks {len(lost)} of the {len(saved)} rows that checkpoint {step} was saved with: "
      f"{some(named, count=5)}; the run goes on without them"
    )


def _as_text(values: dict[str, float], names: Sequence[str] = SHOWN) -> str:
  shown = [f"{k} {values[k]:.4f}" for k in names if k in values]
  if "images_per_second" in values:
    shown.append(f"{values['images_per_second']:,.0f} images/s")
  return "  ".join(shown)


def _progress(console: Console) -> Progress:
  return Progress(
    TextColumn("{task.description} of {task.fields[epochs]:.0f}"),
    BarColumn(bar_width=16),
    TextColumn("{task.fields[text]}"),
    TimeRemainingColumn(),
    console=console,
  )


def scalars(figures: dict[str, Any]) -> dict[str, float]:
  """Returns those figures that are a single number."""
  return {k: v for k, v in figures.items() if isinstance(v, int | float)}


def table(title: str, rows: dict[str, Any]) -> None:
  """Prints a table of values, one name and its value in each row."""
  shown = Table(title=escape(title), title_justify="left", show_header=False)
  for name, value in rows.items():
    shown.add_row(escape(name), _text(value))
  Console(highlight=False, soft_wrap=True).print(shown)


def grid(title: str, rows: dict[str, dict[str, Any]]) -> None:
  """Prints a table of named rows, which all have the same columns."""
  shown = Table(title=escape(title), title_justify="left")
  shown.add_column("", overflow="fold")
  for column in next(iter(rows.values())):
    shown.add_column(escape(str(column)), justify="right")
  for name, row in rows.items():
    shown.add_row(escape(name), *map(_text, row.values()))
  wide = None if sys.stdout.isatty() else 1000  # lines in a file may be long
  Console(highlight=False, width=wide).print(shown)


def _text(value: Any) -> str:
  return f"{value:.4f}" if isinstance(value, float) else escape(str(value))
