"""The task of one class for each example: softmax cross-entropy."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnnjax.data.inputs import read as inputs  # noqa: F401, a function of the task
from cnnjax.data.table import Table
from cnnjax.metrics import classification as metrics_of
from cnnjax.ops import losses
from cnnjax.tasks.table import column, weights
from cnnjax.tasks.views import views  # noqa: F401, a function of the task

Batch = dict[str, Any]
Outputs = dict[str, Any]


def complete(
  splits: Mapping[str, Table], *, class_weights: Sequence[float] | str = ()
) -> dict[str, Any]:
  """Returns the weights of the classes as numbers, where there are any.

  "balanced" gives class c of C the weight n / (C n_c), where the training split has n examples and
  n_c of class c.

  Raises: UserError for data without classes, and weights that are no numbers above 0.
  """
  label, classes = column(splits, "label", "classification"), splits["train"].classes
  counts = np.bincount(label, minlength=len(classes))
  return weights("class_weights", class_weights, classes, len(label), len(classes) * counts)


def loss(
  outputs: Outputs,
  batch: Batch,
  counts: Mapping[str, jax.Array] | None = None,
  *,
  label_smoothing: float = 0.0,
  aux_weight: float = 0.3,
  class_weights: Sequence[float] = (),
) -> tuple[jax.Array, dict[str, Any]]:
  """Returns the mean cross-entropy over real examples, and the sums to log.

  The target is `target` [B, C] where the batch has one, else `label` [B] smoothed. Auxiliary logits
  have the same target; their losses are weighted by `aux_weight` (0.3 in arXiv:1409.4842, section
  5).

  With `class_weights` [C] the terms of class c are multiplied by its weight. The sum is divided by
  the sum of the labels' weights, or for a `target` by the number of examples, as by PyTorch's
  CrossEntropyLoss(weight).
  """
  logits, mask = outputs["logits"], batch["mask"]
  of_class = jnp.asarray(class_weights or 1.0, jnp.float32)
  target, weight = batch.get("target"), mask
  if target is None:
    target = jax.nn.one_hot(batch["label"], logits.shape[-1])
    target = optax.smooth_labels(target, label_smoothing)
    weight = mask * of_class[batch["label"]] if class_weights else mask
  target = of_class * target
  each = optax.softmax_cross_entropy(logits, target)
  for aux in outputs.get("aux", {}).values():
    each += aux_weight * optax.softmax_cross_entropy(aux, target)
  hits = logits.argmax(-1) == batch["label"]
  total, count = jnp.sum(each * mask), jnp.sum(weight)
  logs = {"loss": (total, count), "accuracy": (jnp.sum(hits * mask), jnp.sum(mask))}
  return losses.total({"loss": logs["loss"]}, counts), logs


def metrics(outputs: Outputs, batch: Batch, *, rows: bool = False) -> dict[str, Any]:
  """Returns the sums of a batch that `summarise` turns into figures.

  With `rows` it also returns each example's probabilities and label, under that name, for the
  figures that cannot be computed from sums.
  """
  logits, label, mask = outputs["logits"], batch["label"], batch["mask"]
  each = optax.softmax_cross_entropy_with_integer_labels(logits, label)
  sums = metrics_of.sums(logits, label, mask)
  more = {"rows": metrics_of.rows(logits, label, mask)} if rows else {}
  return {**sums, "loss": jnp.sum(jnp.where(mask > 0, each, 0)), **more}


def summarise(sums: dict[str, Any], *, top_k: int = 5) -> dict[str, Any]:
  """Returns the figures of an evaluation from its sums; the loss has no class weights."""
  figures = metrics_of.summarise(sums, top_k=top_k)
  return {"loss": float(sums["loss"]) / figures["examples"], **figures}


def average(logits: jax.Array) -> jax.Array:
  """Returns logits [B, C] whose probabilities are the mean of those of logits [K, B, C]."""
  return jax.nn.logsumexp(jax.nn.log_softmax(logits), 0) - math.log(len(logits))


def predict(outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
  """Returns the best class, its probability and all probabilities [B, C]."""
  probabilities = jax.nn.softmax(outputs["logits"])
  return {
    "label": probabilities.argmax(-1),
    "probability": probabilities.max(-1),
    "probabilities": probabilities,
  }


def named(answer: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
  """Returns an answer with the name of its class."""
  return {"class": names[answer["label"]], **answer}
