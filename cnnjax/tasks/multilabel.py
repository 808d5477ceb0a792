"""The task of any number of labels for each example: sigmoid cross-entropy of each label."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data.inputs import read as inputs  # noqa: F401, a function of the task
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.metrics import multilabel as metrics_of
from cnnjax.ops import losses
from cnnjax.tasks.table import column, weights
from cnnjax.tasks.views import views  # noqa: F401, a function of the task

Batch = dict[str, Any]
Outputs = dict[str, Any]


def complete(
  splits: Mapping[str, Table], *, positive_weights: Sequence[float] | str = ()
) -> dict[str, Any]:
  """Returns the weights of the labels as numbers, where there are any.

  "balanced" gives a label the number of training examples without it over the number with it.

  Raises: UserError for data without numbers, numbers other than 0 and 1, and weights that are no
    numbers above 0.
  """
  target, names = column(splits, "target", "multilabel"), splits["train"].classes
  for split, table in splits.items():
    odd = np.argwhere(~np.isin(table.columns["target"], (0, 1)))
    if len(odd):
      place, label = odd[0]
      raise UserError(
        f"task multilabel needs 0 or 1 for each label, but the {split} split has "
        f"{names[label]} {table.columns['target'][place, label]:g}"
      )
  there = target.sum(0, dtype=np.int64)
  return weights("positive_weights", positive_weights, names, len(target) - there, there)


def loss(
  outputs: Outputs,
  batch: Batch,
  counts: Mapping[str, jax.Array] | None = None,
  *,
  positive_weights: Sequence[float] = (),
  aux_weight: float = 0.3,
) -> tuple[jax.Array, dict[str, Any]]:
  """Returns the mean cross-entropy over real examples and their labels, and the sums to log.

  `target` [B, L] is 1 where an example has the label, 0 where not, or in between where images are
  mixed. With `positive_weights` [L] the term of a label that an example has is multiplied by its
  weight, as in PyTorch's BCEWithLogitsLoss(pos_weight). The loss of auxiliary logits is weighted by
  `aux_weight`, as in classification.
  """
  logits, target, mask = outputs["logits"], batch["target"], batch["mask"]
  each = _cost(logits, target, positive_weights)
  for aux in outputs.get("aux", {}).values():
    each += aux_weight * _cost(aux, target, positive_weights)
  hits = jnp.mean((logits > 0) == (target > 0.5), -1)
  total, count = jnp.sum(each * mask), jnp.sum(mask)
  logs = {"loss": (total, count), "accuracy": (jnp.sum(hits * mask), count)}
  return losses.total({"loss": logs["loss"]}, counts), logs


def metrics(outputs: Outputs, batch: Batch, *, rows: bool = False) -> dict[str, Any]:
  """Returns the sums of a batch that `summarise` turns into figures.

  With `rows` it also returns each example's probabilities and target, under that name, for the
  figures that cannot be computed from sums.
  """
  logits, target, mask = outputs["logits"], batch["target"], batch["mask"]
  each = _cost(logits, target, ())
  sums = metrics_of.sums(logits, target, mask)
  more = {"rows": metrics_of.rows(logits, target, mask)} if rows else {}
  return {**sums, "loss": jnp.sum(jnp.where(mask > 0, each, 0)), **more}


def summarise(sums: dict[str, Any]) -> dict[str, Any]:
  """Returns the figures of an evaluation from its sums; the loss has no weights of labels."""
  figures = metrics_of.summarise(sums)
  return {"loss": float(sums["loss"]) / figures["examples"], **figures}


def average(logits: jax.Array) -> jax.Array:
  """Returns logits [B, L] whose probabilities are the mean of those of logits [K, B, L]."""
  yes, no = (jax.nn.logsumexp(jax.nn.log_sigmoid(sign * logits), 0) for sign in (1, -1))
  return yes - no


def predict(outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
  """Returns the probabilities [B, L], and labels [B, L]: 1 where the probability is above 1/2."""
  logits = outputs["logits"]
  return {"labels": (logits > 0).astype(jnp.int32), "probabilities": jax.nn.sigmoid(logits)}


def named(answer: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
  """Returns an answer with the names of its labels."""
  return {"classes": [n for n, there in zip(names, answer["labels"]) if there], **answer}


def _cost(logits: jax.Array, target: jax.Array, positive_weights: Sequence[float]) -> jax.Array:
  there = jnp.asarray(positive_weights or 1.0, jnp.float32)
  each = there * target * jax.nn.softplus(-logits) + (1 - target) * jax.nn.softplus(logits)
  return each.mean(-1)
