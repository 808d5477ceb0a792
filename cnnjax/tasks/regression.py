"""The task of numbers for each example: squared or Huber error, in standard deviations."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnnjax.data.inputs import read as inputs  # noqa: F401, a function of the task
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.metrics import regression as metrics_of
from cnnjax.ops import losses
from cnnjax.tasks.table import column
from cnnjax.tasks.views import views  # noqa: F401, a function of the task

Batch = dict[str, Any]
Outputs = dict[str, Any]


def complete(
  splits: Mapping[str, Table], *, mean: Sequence[float] = (), std: Sequence[float] = ()
) -> dict[str, Any]:
  """Returns each target's mean and standard deviation, by default those of the training split.

  Raises: UserError for data without numbers, a mean or deviation that does not fit, and a target
    that is the same in every training example.
  """
  target, names = column(splits, "target", "regression"), splits["train"].classes
  if not mean and not std:
    mean = tuple(np.mean(target, 0, np.float64).tolist())
    std = tuple(np.std(target, 0, np.float64).tolist())
    for name, m, s in zip(names, mean, std):
      if s <= 1e-6 * abs(m):  # smaller differences are lost in float32
        raise UserError(f"{name} is {m:g} in every example of the train split; nothing to learn")
  for key, value in (("mean", mean), ("std", std)):
    known = len(value) == len(names) and all(map(math.isfinite, value))
    if not known or (key == "std" and min(value) <= 0):
      raise UserError(
        f"task.{key} must be a number{' above 0' if key == 'std' else ''} for each of the "
        f"{len(names)} targets, or () together with the other of mean and std; found {value}"
      )
  return {"mean": tuple(mean), "std": tuple(std)}


def loss(
  outputs: Outputs,
  batch: Batch,
  counts: Mapping[str, jax.Array] | None = None,
  *,
  mean: Sequence[float] = (0.0,),
  std: Sequence[float] = (1.0,),
  delta: float = 0.0,
  aux_weight: float = 0.3,
) -> tuple[jax.Array, dict[str, Any]]:
  """Returns the mean error over real examples and their targets, and the sums to log.

  The logits [B, T] predict how many standard deviations `target` [B, T] lies above the mean. An
  error e of a logit costs e^2. With `delta` it costs e^2 / 2 where |e| is at most delta, and
  delta (|e| - delta / 2) beyond (Huber). The loss of auxiliary logits is weighted by `aux_weight`,
  as in classification.
  """
  target, mask = _standard(batch["target"], mean, std), batch["mask"]
  each = _cost(outputs["logits"], target, delta)
  for aux in outputs.get("aux", {}).values():
    each += aux_weight * _cost(aux, target, delta)
  total, count = jnp.sum(each * mask), jnp.sum(mask)
  away = jnp.mean(jnp.abs(outputs["logits"] - target) * jnp.asarray(std, jnp.float32), -1)
  logs = {"loss": (total, count), "mae": (jnp.sum(away * mask), count)}
  return losses.total({"loss": logs["loss"]}, counts), logs


def metrics(
  outputs: Outputs,
  batch: Batch,
  *,
  rows: bool = False,
  mean: Sequence[float] = (0.0,),
  std: Sequence[float] = (1.0,),
  delta: float = 0.0,
) -> dict[str, Any]:
  """Returns the sums of a batch that `summarise` turns into figures.

  With `rows` it also returns each example's prediction and target in the targets' own units, under
  that name.
  """
  logits, mask = outputs["logits"], batch["mask"]
  target = _standard(batch["target"], mean, std)
  sums = metrics_of.sums(logits, target, mask)
  sums["loss"] = jnp.sum(jnp.where(mask > 0, _cost(logits, target, delta), 0))
  if rows:
    value = predict(outputs, batch, mean=mean, std=std)["values"]
    sums["rows"] = {"prediction": value, "target": batch["target"], "mask": mask}
  return sums


def summarise(sums: dict[str, Any], *, std: Sequence[float] = (1.0,)) -> dict[str, Any]:
  """Returns the figures of an evaluation from its sums, in the targets' own units."""
  figures = metrics_of.summarise(sums, std)
  return {"loss": float(sums["loss"]) / figures["examples"], **figures}


def average(logits: jax.Array) -> jax.Array:
  """Returns the mean [B, T] of numbers [K, B, T]."""
  return logits.mean(0)


def predict(
  outputs: Outputs,
  batch: Batch,
  *,
  mean: Sequence[float] = (0.0,),
  std: Sequence[float] = (1.0,),
) -> dict[str, jax.Array]:
  """Returns the values [B, T] in the targets' own units."""
  mean, std = jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
  return {"values": mean + std * outputs["logits"]}


def named(answer: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
  """Returns an answer with its values by the names of the targets."""
  return {"targets": dict(zip(names, answer["values"])), **answer}


def _standard(target: jax.Array, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
  return (target - jnp.asarray(mean, jnp.float32)) / jnp.asarray(std, jnp.float32)


def _cost(logits: jax.Array, target: jax.Array, delta: float) -> jax.Array:
  error = optax.huber_loss(logits, target, delta=delta) if delta else jnp.square(logits - target)
  return error.mean(-1)
