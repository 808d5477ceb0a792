"""The table of tasks: a task knows what a batch holds, and defines the loss and the metrics.

A task is a module with the functions of `Task`, whose keyword arguments are the options of a
config's `task` section, and `complete`, which computes from the data the options that are not set.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

from cnnjax.data.table import Table
from cnnjax.errors import unknown
from cnnjax.tasks import (
  classification,
  detection,
  multilabel,
  promptable,
  regression,
  segmentation,
)

TASKS = {
  "classification": classification,
  "detection": detection,
  "multilabel": multilabel,
  "promptable": promptable,
  "regression": regression,
  "segmentation": segmentation,
}


class Task(NamedTuple):
  """A task's functions, each bound to those of a config's options that it takes.

  Attributes:
    inputs: batch -> what the network reads.
    views: batch -> rows (weight, batch), the views whose logits are averaged in evaluation.
    loss: (outputs, batch, counts=None) -> (scalar, {name: (sum, count)}); sums are divided by
      `counts` {name: count}, where the batch is a part of a larger one, in place of their own.
    metrics: (outputs, batch, rows=False) -> sums that add over batches.
    summarise: those sums -> figures.
    predict: (outputs, batch) -> answers.
    named: (one example's answer, names of the outputs) -> the answer with these names.
    average: logits [K, B, C] of K parts of each example -> logits [B, C] of the mean of their
      answers; None where answers cannot be averaged.
  """

  inputs: Callable
  views: Callable
  loss: Callable
  metrics: Callable
  summarise: Callable
  predict: Callable
  named: Callable
  average: Callable | None = None


def task(name: str, *, model: Any = None, **options: Any) -> Task:
  """Returns a task by its name. Raises: UserError for an unknown name or option.

  Functions with a parameter `model` are bound to it, since a detector has its own loss.
  """
  module = find(name)
  functions = {f: getattr(module, f) for f in Task._fields if f != "average" or hasattr(module, f)}
  takes = {
    field: [p.name for p in inspect.signature(f).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for field, f in functions.items()
  }
  known = {option for of_one in takes.values() for option in of_one} - {"model"}
  for option in options.keys() - known:
    raise unknown(f"option of task {name}", option, known)
  options["model"] = model
  return Task(
    **{
      field: partial(f, **{k: options[k] for k in takes[field] if k in options})
      for field, f in functions.items()
    }
  )


def complete(options: Mapping[str, Any], splits: Mapping[str, Table]) -> dict[str, Any]:
  """Returns a config's `task` section, completed from the data; a second call changes nothing.

  Raises: UserError where the data are not what the task needs, or an option does not fit them.
  """
  module = find(options["name"])
  takes = inspect.signature(module.complete).parameters
  found = module.complete(splits, **{k: v for k, v in options.items() if k in takes})
  return {**options, **found}


def find(name: str) -> ModuleType:
  """Returns the module of a task. Raises: UserError for a name that is none."""
  if name not in TASKS:
    raise unknown("task", name, TASKS)
  return TASKS[name]
