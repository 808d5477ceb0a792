"""Evaluation of a model over any number of examples."""

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnnjax.data import inputs
from cnnjax.engine.compiler import compile_step
from cnnjax.engine.mesh import replicated, shard
from cnnjax.engine.segment import answered
from cnnjax.engine.step import eval_step
from cnnjax.metrics.segmentation import pixels
from cnnjax.ops.segmentation import VOID
from cnnjax.tasks import Task

ROUND = 32  # to a multiple of which class maps of several sizes are filled up with void, to count


def evaluator(model: Any, task: Task, mesh: Mesh, **options: Any) -> Callable:
  """Returns (variables, batch) -> the sums of the task's metrics, compiled for the mesh.

  The options are those of the task's `metrics`, such as `rows`. Examples of several sizes are
  answered one by one, as `predict` answers them.
  """
  if getattr(model.preprocessing, "ragged", False):
    return partial(each_voxel, model=model, task=task, mesh=mesh, **options)
  compiled = compile_step(traced(model, task, **options), mesh)
  return lambda variables, batch: compiled(variables, shard(batch, mesh))


def traced(model: Any, task: Task, **options: Any) -> Callable:
  """Returns (variables, batch) -> the sums of the task's metrics, a pure function."""
  scale = partial(inputs.scale, preprocessing=model.preprocessing)
  return partial(eval_step, model=model, task=task, scale=scale, **options)


def each_voxel(
  variables: dict[str, Any],
  batch: dict[str, Any],
  *,
  model: Any,
  task: Task,
  mesh: Mesh,
  rows: bool = False,
) -> dict[str, Any]:
  """Returns the sums of the metrics of one example, answered window by window at its own size.

  Args:
    variables: of the model.
    batch: of one prepared example [1, *S, channels], whose `segments` [1, *S] may be of another
      size, that of the user's file.
    model: of the zoo.
    task: of class maps.
    mesh: of devices, among which windows are divided.
    rows: as for the task's `metrics`.
  """
  (ready,) = inputs.read(batch)
  (truth,) = batch["segments"]
  found = {"segments": np.empty(truth.shape, np.uint8), "cost": np.empty(truth.shape, np.float32)}
  for part, logits in answered(model, variables, ready, truth.shape, mesh):
    for key, values in _pixels(logits, truth[part]).items():
      found[key][part] = values
  more = [(0, -side % ROUND) for side in truth.shape]
  fill = lambda one, value: np.pad(one, more, constant_values=value)[None]  # noqa: E731
  padded = {key: fill(one, 0) for key, one in found.items()}
  others = {key: value for key, value in batch.items() if key != inputs.of_columns(batch)}
  sums = _sums(task.metrics, rows)(padded, {**others, "segments": fill(truth, VOID)})
  if rows:
    own = tuple(slice(side) for side in truth.shape)
    keys = ("segments", "truth")
    sums["rows"] = {**sums["rows"], **{k: sums["rows"][k][:, *own] for k in keys}}
  return sums


@lru_cache(maxsize=8)
def _sums(metrics: Callable, rows: bool) -> Callable:
  return jax.jit(partial(metrics, rows=rows))


def _pixels(logits: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
  """Returns `metrics.segmentation.pixels` of logits [*S, C], compiled for few sizes."""
  count = truth.size
  more = (1 << (count - 1).bit_length()) - count
  flat = np.pad(logits.reshape(count, -1), [(0, more), (0, 0)])
  found = _compiled(flat[None], np.pad(truth.ravel(), (0, more), constant_values=VOID)[None])
  return {k: np.asarray(one)[0, :count].reshape(truth.shape) for k, one in found.items()}


_compiled = jax.jit(pixels)


def evaluate(
  step: Callable, variables: dict[str, Any], batches: Iterable[dict], mesh: Mesh
) -> dict[str, Any]:
  """Returns the metrics' sums over all batches, added in float64 and int64.

  What a step returns under `rows`, arrays with one row for each example, is joined in the order of
  the batches, to a list where rows have several shapes. Each device holds the whole result of a
  step, so that each host gets the rows of all hosts.

  Args:
    step: of `evaluator`; it gets a host's part of a batch.
    variables: of the model.
    batches: of one size, padding masked out.
    mesh: of devices.
  """
  variables = jax.device_put(variables, replicated(mesh))
  total, pending, rows = None, None, []
  for batch in batches:
    sums = step(variables, batch)  # dispatched before the previous sums are fetched
    if "rows" in sums:
      rows.append(sums.pop("rows"))
    total, pending = _add(total, pending), sums
  total = _add(total, pending)
  if rows:
    total["rows"] = jax.tree.map(_joined, *jax.device_get(rows))
  return total


def _joined(*parts: np.ndarray) -> np.ndarray | list[np.ndarray]:
  """Returns the rows of all parts: an array, or where they have several shapes a list."""
  if len({part.shape[1:] for part in parts}) > 1:
    return [row for part in parts for row in part]
  return np.concatenate(parts)


def _add(total, sums):
  if sums is None:
    return total
  wide = jax.tree.map(_widen, jax.device_get(sums))
  return wide if total is None else jax.tree.map(np.add, total, wide)


def _widen(value):
  return np.asarray(value, np.float64 if np.issubdtype(value.dtype, np.floating) else np.int64)
