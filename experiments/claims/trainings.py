"""Trainings of a claim, one for each network and seed, in run folders that can be continued."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import cnnjax
from cnnjax.engine.config import load_config
from cnnjax.engine.record import read_rows

from ..evaluate import score
from ..launch import read_config
from ..train import train

HERE = Path(__file__).parents[2]


class Trained(NamedTuple):
  """A finished run: figures of the test split, rows of metrics.jsonl, classes and folder."""

  figures: dict[str, Any]
  rows: list[dict[str, Any]]
  classes: tuple[str, ...]
  folder: Path


def config_of(
  name: str,
  seed: int,
  *,
  root: str | None = None,
  epochs: float | None = None,
  fraction: float | None = None,
  quick: bool = False,
  model: str | None = None,
) -> Any:
  """Returns the config configs/classification/<name>.py with the values that a claim varies.

  Args:
    name: of the file.
    seed: of the run.
    root: of the data.
    epochs: of the training; milestones are scaled by the same factor.
    fraction: of the training images to train on, without a validation split.
    quick: whether to take the config's mode quick, on generated data.
    model: another model of the zoo.
  """
  mode = "quick" if quick else "full"
  config = read_config(f"{HERE / 'configs' / 'classification' / name}.py:{mode}")
  config.seed, config.data.root = seed, "" if quick else root or ""
  config.model.name = model or config.model.name
  if epochs is not None:
    scale = epochs / config.train.epochs
    config.optim.milestones = tuple(scale * epoch for epoch in config.optim.milestones)
    config.train.epochs = epochs
  if fraction is not None:
    config.data.fraction, config.data.validation, config.train.watch = fraction, 0.0, ""
  return config


def mnist(model: str, seed: int, *, arguments: dict[str, Any] | None = None, **vary: Any) -> Any:
  """Returns LeNet-5's config on MNIST for any network, without augmentation.

  All networks then see the same images.

  Args:
    model: of the zoo.
    seed: of the run.
    arguments: of the model.
    **vary: further arguments of `config_of`.
  """
  config = config_of("lenet5_mnist", seed, model=model, **vary)
  config.model.arguments, config.augment.shift = arguments or {}, 0
  return config


def trainings(
  configs: dict[str, Callable[[int], Any]], *, seeds: int, out: Path
) -> dict[str, list[Trained]]:
  """Returns the runs of each network, seeds 0, 1, .., trained in OUT/<network>_<seed>.

  Args:
    configs: seed -> config, by the network's name.
    seeds: number of seeds.
    out: folder of the runs; an interrupted run is continued, a finished one is not trained again.

  Raises: any error of `train`.
  """
  found = {name: [] for name in configs}
  for seed in range(seeds):  # all networks of a seed first: an interrupted claim can compare them
    for name, config in configs.items():
      folder, figures = train(config(seed), out / f"{name}_{seed}")
      if "confusion" not in figures:  # the run had finished before
        figures = score(cnnjax.restore(folder), "test")
      classes = tuple(load_config(folder).data.classes)
      found[name].append(Trained(figures, read_rows(folder / "metrics.jsonl"), classes, folder))
  return found


def accuracies(runs: list[Trained]) -> np.ndarray:
  """Returns the test accuracy of each run, in percent."""
  return np.asarray([100 * run.figures["accuracy"] for run in runs])


def training_error(runs: list[Trained]) -> np.ndarray:
  """Returns the training error of each run in the last tenth of its steps, in percent."""
  curves = [np.asarray(error_curve(run)).T for run in runs]
  return np.asarray([error[epoch > 0.9 * epoch[-1]].mean() for epoch, error in curves])


def error_curve(run: Trained) -> list[tuple[float, float]]:
  """Returns (epoch, training error in percent) of each row."""
  rows = [row for row in run.rows if row["split"] == "train"]
  return [(row["epoch"], 100 - 100 * row["accuracy"]) for row in rows]


def spread(values: np.ndarray) -> str:
  """Returns "mean ± deviation (n seeds)" of percentages."""
  if len(values) == 1:
    return f"{values[0]:.2f} % (1 seed)"
  return f"{values.mean():.2f} ± {values.std(ddof=1):.2f} % ({len(values)} seeds)"


def gain(values: np.ndarray) -> tuple[str, bool | None]:
  """Returns the mean gain in points as text, and whether it is above 0, None within the noise."""
  mean = float(values.mean())
  if len(values) == 1:
    return f"{mean:+.2f} points (1 seed)", None
  error = float(values.std(ddof=1)) / len(values) ** 0.5
  sure = abs(mean) > 2 * error
  return f"{mean:+.2f} ± {error:.2f} points (standard error)", mean > 0 if sure else None
