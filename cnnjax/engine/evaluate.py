"""Evaluation and prediction over any number of examples."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnnjax.data import pipeline
from cnnjax.engine.config import tuples
from cnnjax.engine.mesh import compile_step, make_mesh, replicated, shard
from cnnjax.engine.step import eval_step, predict_step
from cnnjax.models.weights import labels
from cnnjax.tasks import Task
from cnnjax.tasks import task as task_of


def evaluator(model: Any, task: Task, mesh: Mesh, **options: Any) -> Callable:
  """Returns (variables, batch) -> the sums of the task's metrics, compiled for the mesh.

  The options are those of the task's `metrics`, such as `rows`.
  """
  scale = partial(pipeline.scale, preprocessing=model.preprocessing)
  return compile_step(partial(eval_step, model=model, task=task, scale=scale, **options), mesh)


def evaluate(
  step: Callable, variables: dict[str, Any], batches: Iterable[dict], mesh: Mesh
) -> dict[str, Any]:
  """Returns the metrics' sums over all batches, added in float64 and int64.

  What a step gives under `rows`, arrays with a row an example, is joined in the batches' order; the
  step's result is whole on each device, so that each host has the rows of all.

  Args:
    step: of `evaluator`.
    variables: of the model.
    batches: of one size, padding masked out.
    mesh: of devices.
  """
  variables = jax.device_put(variables, replicated(mesh))
  total, pending, rows = None, None, []
  for batch in batches:
    sums = step(variables, shard(batch, mesh))  # dispatched before the last one is fetched
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


def predict(
  model: Any,
  variables: dict[str, Any],
  images: np.ndarray | Sequence[np.ndarray],
  *,
  task: str = "classification",
  classes: Sequence[str] = (),
  batch_size: int = 64,
  **options: Any,
) -> list[dict[str, Any]]:
  """Returns one answer for each image, prepared as the model's `preprocessing` says.

  For classification: `label`, `probability`, `probabilities` [C]; for several labels: `labels` [L]
  of 0 and 1, `probabilities` [L]; for regression: `values` [T]. Where `classes` names these, also
  `class`, `classes`, or `targets` by name.

  Args:
    model: of the zoo.
    variables: of the model.
    images: uint8, or float from 0 to 1: [N, H, W, C], or any sequence of [H, W] or [H, W, C].
    task: whose answers to give.
    classes: names of the labels; by default those of the model's published weights, if any.
    batch_size: largest number of images computed at once.
    options: of the task, such as the `mean` and `std` of regression.

  Raises: UserError for an array that is no image, and for an unknown task or option of it.
  """
  from cnnjax.data.image import fit  # Pillow: not needed to build and train

  pixels = fit(images, model.preprocessing)
  size = min(batch_size, 1 << max(0, len(pixels) - 1).bit_length())  # few shapes to compile
  step, mesh = _predictor(model, task, tuple(tuples(options).items()))
  answers = []
  for start in range(0, len(pixels), size):
    part = pixels[start : start + size]
    batch = pipeline.pad({"image": part}, size)
    found = jax.device_get(step(variables, shard(batch, mesh)))
    answers += [{k: v[i].tolist() for k, v in found.items()} for i in range(len(part))]
  names = labels(getattr(model.preprocessing, "labels", ""))
  if not classes and answers and len(names) == len(answers[0].get("probabilities", ())):
    classes = names
  if classes:
    answers = [task_of(task).named(answer, classes) for answer in answers]
  return answers


@lru_cache(maxsize=8)
def _predictor(model: Any, task: str, options: tuple) -> tuple[Callable, Mesh]:
  """Returns the compiled step for a model on one device, kept for the next call."""
  mesh = make_mesh(1)
  scale = partial(pipeline.scale, preprocessing=model.preprocessing)
  step = partial(predict_step, model=model, task=task_of(task, **dict(options)), scale=scale)
  return compile_step(step, mesh), mesh
