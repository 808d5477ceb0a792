"""Scores of networks that are trained on unchanged images and tested on changed ones."""

from collections.abc import Callable, Iterable

import numpy as np

import cnnjax
from cnnjax.data import pipeline
from cnnjax.data.table import Table
from cnnjax.engine.evaluate import evaluate, evaluator
from cnnjax.engine.mesh import make_mesh
from cnnjax.ops.preprocess import Preprocessing
from cnnjax.tasks import task

from .finding import Finding
from .trainings import Trained, gain

BATCH = 500
Change = Callable[[Table, Preprocessing], Iterable[Table]]


def scores(found: dict[str, list[Trained]], change: Change) -> dict[str, np.ndarray]:
  """Returns each network's accuracies [seeds, levels] in percent.

  Args:
    found: the networks' runs.
    change: (test split, preprocessing) -> the split at each level, prepared for the network.
  """
  return {name: np.asarray([_levels(run, change) for run in runs]) for name, runs in found.items()}


def _levels(trained, change):
  run = cnnjax.restore(trained.folder)
  mesh, kind = make_mesh(1), task(run.config.task.name)
  step = evaluator(run.model, kind, mesh)
  test = run.load_splits()["test"]
  tables = change(test, run.model.preprocessing)
  sums = (evaluate(step, run.variables, pipeline.eval_batches(t, BATCH), mesh) for t in tables)
  return [100 * kind.summarise(s)["accuracy"] for s in sums]


def rows(what: str, levels: Iterable[float], curves: dict[str, np.ndarray]) -> list[Finding]:
  """Returns the mean accuracy of each network at each level."""
  means = {name: values.mean(0) for name, values in curves.items()}
  return [
    Finding(f"{what} {level:g}", "", ", ".join(f"{n} {m[i]:.1f}" for n, m in means.items()) + " %")
    for i, level in enumerate(levels)
  ]


def better(what: str, curves: dict[str, np.ndarray], first: str, second: str, at: slice) -> Finding:
  """Returns whether the first network is better than the second, on average over these levels."""
  difference = curves[first][:, at].mean(1) - curves[second][:, at].mean(1)  # for each seed
  return Finding(what, "above 0", *gain(difference))
