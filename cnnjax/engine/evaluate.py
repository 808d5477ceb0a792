"""Evaluation of a model over any number of examples."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnnjax.data import inputs
from cnnjax.engine.compiler import compile_step
from cnnjax.engine.mesh import replicated, shard
from cnnjax.engine.step import eval_step
from cnnjax.tasks import Task


def evaluator(model: Any, task: Task, mesh: Mesh, **options: Any) -> Callable:
  """Returns (variables, batch) -> the sums of the task's metrics, compiled for the mesh.

  The options are those of the task's `metrics`, such as `rows`.
  """
  scale = partial(inputs.scale, preprocessing=model.preprocessing)
  return compile_step(partial(eval_step, model=model, task=task, scale=scale, **options), mesh)


def evaluate(
  step: Callable, variables: dict[str, Any], batches: Iterable[dict], mesh: Mesh
) -> dict[str, Any]:
  """Returns the metrics' sums over all batches, added in float64 and int64.

  What a step returns under `rows`, arrays with one row for each example, is concatenated in the
  order of the batches. Each device holds the whole result of a step, so that each host gets the
  rows of all hosts.

  Args:
    step: of `evaluator`.
    variables: of the model.
    batches: of one size, padding masked out.
    mesh: of devices.
  """
  variables = jax.device_put(variables, replicated(mesh))
  total, pending, rows = None, None, []
  for batch in batches:
    sums = step(variables, shard(batch, mesh))  # dispatched before the previous sums are fetched
    if "rows" in sums:
      rows.append(sums.pop("rows"))
    total, pending = _add(total, pending), sums
  total = _add(total, pending)
  if rows:
    total["rows"] = jax.tree.map(lambda *parts: np.concatenate(parts), *jax.device_get(rows))
  return total


def _add(total, sums):
  if sums is None:
    return total
  wide = jax.tree.map(_widen, jax.device_get(sums))
  return wide if total is None else jax.tree.map(np.add, total, wide)


def _widen(value):
  return np.asarray(value, np.float64 if np.issubdtype(value.dtype, np.floating) else np.int64)
