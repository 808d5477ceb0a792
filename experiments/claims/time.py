"""3-D convolution captures motion that single frames do not hold (course/004)."""

from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.data.moving_digits import DIRECTIONS
from cnnjax.visualise.figure import save
from cnnjax.visualise.grid import grid

from .finding import Finding
from .trainings import Trained, accuracies, config_of, spread, trainings

CLIPS, FRAMES = "r3d_moving_digits", "resnet20_moving_digits"
GOAL = 95.0  # percent of the clips whose direction is named
SHOWN = 6  # frames of a clip in the picture


def time(
  *,
  epochs: float | None = None,
  seeds: int = 3,
  quick: bool = False,
  out: Path = Path("runs/claims/time"),
) -> list[Finding]:
  """Names the direction in which a digit moves: a 3-D network of clips, a 2-D one of single frames.

  The digit's place in each single frame is uniform for every direction, so a frame says nothing.

  Args:
    epochs: of each training.
    seeds: number of trainings of each network.
    quick: whether to train for a moment only.
    out: folder for the runs and time.png, clips of three directions.
  """
  vary = dict(epochs=epochs, quick=quick)
  configs = {name: partial(config_of, name, **vary) for name in (CLIPS, FRAMES)}
  found = trainings(configs, seeds=seeds, out=out)
  accuracy = {name: accuracies(runs) for name, runs in found.items()}
  low, high = interval(found[FRAMES])
  chance = 100 / len(DIRECTIONS)
  _draw(found[CLIPS][0], out / "time.png")
  return [
    Finding("clips, 3-D network", f"above {GOAL:g} %", spread(accuracy[CLIPS]),
            bool((accuracy[CLIPS] > GOAL).all())),
    Finding("single frames, 2-D network", f"{chance} %", spread(accuracy[FRAMES]),
            low <= chance <= high),
    Finding("its 95 % interval, all seeds together", "", f"{low:.2f} to {high:.2f} %"),
  ]  # fmt: skip


def interval(runs: list[Trained]) -> tuple[float, float]:
  """Returns the 95 % interval of the accuracy over all examples of all runs, in percent (Wilson).

  Runs of other seeds are tested on other clips.
  """
  from scipy.stats import binomtest

  count = sum(run.figures["examples"] for run in runs)
  right = sum(run.figures["accuracy"] * run.figures["examples"] for run in runs)
  found = binomtest(round(right), count).proportion_ci(method="wilson")
  return 100 * found.low, 100 * found.high


def _draw(run: Trained, path: Path) -> None:
  """Draws frames of the first test clip of each direction that is there, in rows."""
  from cnnjax.engine.config import load_config
  from cnnjax.engine.splits import load_splits

  table = load_splits(load_config(run.folder))["test"]
  clips, labels = table.columns["clip"], table.columns["label"]
  few = np.linspace(0, clips.shape[1] - 1, SHOWN).round().astype(int)
  first = {name: np.flatnonzero(labels == n)[:1] for n, name in enumerate(table.classes)}
  rows = {name: list(clips[where[0], few]) for name, where in first.items() if len(where)}
  save(grid(rows, [f"frame {n}" for n in few]), path)
