"""The stages of R-CNN and SPPnet after fine-tuning: features of all proposals, SVMs, regression."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data import inputs, pipeline
from cnnjax.data.table import Table
from cnnjax.engine.compiler import compile_step
from cnnjax.engine.fit import Plan
from cnnjax.engine.mesh import replicated, shard
from cnnjax.engine.record import writing
from cnnjax.models.detection import svm
from cnnjax.models.detection.rcnn import encode
from cnnjax.tasks import detection


def stages(job: Plan, config: Any, variables: Any, table: Table, folder: Path) -> dict[str, Any]:
  """Returns the parameters of `svm` and `regression`; each stage's result is kept in the folder."""
  truth = detection.inputs(table.columns)
  with writing(folder):
    folder.mkdir(exist_ok=True)
  targets = _targets(truth, job.model.num_classes)
  files = folder / "features.npy", folder / "pooled.npy"
  _stage("features", files, partial(_describe, job, config, variables, table, targets["near"]))
  features, pooled = (np.load(file, mmap_mode="r") for file in files)
  for name, find in (
    ("svm", partial(_svms, features, targets, truth, table.classes, config.seed)),
    ("regression", partial(_regressions, pooled, targets, truth, table.classes)),
  ):
    _stage(name, (folder / f"{name}.npz",), lambda file, find=find: _save(file, *find()))
  return {name: _load(folder / f"{name}.npz") for name in ("svm", "regression")}


def _svms(features, targets, truth, classes, seed) -> tuple[np.ndarray, np.ndarray]:
  """Returns kernel [F, C] and bias [C] of the SVMs.

  In `features` an image's true boxes come after its proposals.
  """
  images, windows, width = features.shape
  rows = np.arange(images * windows).reshape(images, windows)
  proposals, boxes = np.split(rows, [windows - truth["labels"].shape[1]], 1)
  flat, found = features.reshape(-1, width), []
  scale = svm.scale_of(flat)
  for label, name in enumerate(classes):
    positives = boxes[(truth["labels"] == label) & (truth["valid"] > 0)]
    negatives = proposals[targets["negative"][..., label]]
    order = np.random.default_rng([seed, label]).permutation(negatives)
    *both, kept = svm.mine(flat, positives, order, scale)
    found.append(both)
    counts = f"{len(positives)} boxes, {len(negatives)} negatives, {kept} of them hard"
    print(f"  {name}: {counts}", flush=True)
  kernel, bias = (np.stack(part, -1) for part in zip(*found))
  return kernel, bias


def _regressions(pooled, targets, truth, classes) -> tuple[np.ndarray, np.ndarray]:
  """Returns kernel [G, 4 C] and bias [4 C], zeros for a class without a proposal near its boxes."""
  near = targets["near"]
  labels = np.take_along_axis(truth["labels"], targets["nearest"], 1)[near]
  offsets, scale = targets["offsets"][near], svm.scale_of(pooled)
  kernel = np.zeros((pooled.shape[1], len(classes), 4), np.float32)
  bias = np.zeros((len(classes), 4), np.float32)
  for label, name in enumerate(classes):
    chosen = labels == label
    if chosen.any():
      kernel[:, label], bias[label] = svm.regress(pooled[chosen], offsets[chosen], scale)
    print(f"  {name}: {chosen.sum()} windows", flush=True)
  return kernel.reshape(len(kernel), -1), bias.ravel()


def _stage(name: str, files: tuple[Path, ...], make: Callable) -> None:
  """Makes a stage's files where one is missing; they get their names once all are complete."""
  if all(file.exists() for file in files):
    return print(f"stage {name}: there already", flush=True)
  started = time.perf_counter()
  scratch = [file.with_name(f"unfinished_{file.name}") for file in files]
  with writing(files[0].parent):
    make(*scratch)
    for unfinished, file in zip(scratch, files):
      unfinished.replace(file)
  say(name, started)


def say(name: str, started: float) -> None:
  """Prints how long a stage took."""
  print(f"stage {name}: {time.perf_counter() - started:.1f} s", flush=True)


def _save(file: Path, kernel: np.ndarray, bias: np.ndarray) -> None:
  with file.open("wb") as out:
    np.savez(out, kernel=kernel, bias=bias)


def _load(file: Path) -> dict[str, np.ndarray]:
  with np.load(file, allow_pickle=False) as kept:
    return dict(kept)


def _targets(truth: dict[str, np.ndarray], num_classes: int) -> dict[str, np.ndarray]:
  """Returns the training targets of each image's proposals, [N, R, ...], from `rcnn.encode`."""
  one = jax.jit(partial(encode, num_classes=num_classes))
  columns = ("proposals", "proposed", "boxes", "labels", "valid")
  rows = [jax.device_get(one(*row)) for row in zip(*(truth[name] for name in columns))]
  return {name: np.stack(part) for name, part in zip(rows[0]._fields, zip(*rows))}


def _describe(
  job: Plan,
  config: Any,
  variables: Any,
  table: Table,
  near: np.ndarray,
  features_file: Path,
  pooled_file: Path,
) -> None:
  """Writes the stage `features`: what the SVMs and the regression learn from.

  These are features [N, R + P, F] of proposals and true boxes, and pooled maps [M, G] of the M
  proposals that are near a true box.
  """

  def describe(variables, batch):
    x = job.task.inputs(inputs.scale(batch, job.model.preprocessing))
    for key, more in (("proposals", "boxes"), ("proposed", "valid")):
      x[key] = jnp.concatenate([x[key], x[more]], 1)
    found = job.model.apply(variables, x, train=False)
    return found["features"], found["pooled"][:, : near.shape[1]]

  step, done, filled = compile_step(describe, job.mesh), 0, 0
  variables = jax.device_put(variables, replicated(job.mesh))
  whole = {}
  for batch in pipeline.eval_batches(table, config.data.batch_size):
    count = int(batch["mask"].sum())
    features, pooled = (v[:count] for v in jax.device_get(step(variables, shard(batch, job.mesh))))
    if not whole:
      shapes = (len(table), *features.shape[1:]), (int(near.sum()), pooled.shape[-1])
      for file, shape in zip((features_file, pooled_file), shapes):
        whole[file] = np.lib.format.open_memmap(file, "w+", np.float32, shape)
    whole[features_file][done : done + count] = features
    chosen = pooled[near[done : done + count]]
    whole[pooled_file][filled : filled + len(chosen)] = chosen
    done, filled = done + count, filled + len(chosen)
  for array in whole.values():
    array.flush()


def with_head(variables: Any, head: dict[str, Any]) -> Any:
  """Returns the variables with the head's parameters that the stages have computed."""
  params = variables["params"]
  return {**variables, "params": {**params, "head": {**params["head"], **head}}}
