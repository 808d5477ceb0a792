"""One class for each image: softmax cross-entropy."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnnjax.metrics import classification as metrics_of

Batch = dict[str, Any]
Outputs = dict[str, Any]


def inputs(batch: Batch) -> jax.Array:
  """Returns what the network reads."""
  return batch["image"]


def loss(
  outputs: Outputs, batch: Batch, *, label_smoothing: float = 0.0, aux_weight: float = 0.3
) -> tuple[jax.Array, dict[str, Any]]:
  """Returns the mean cross-entropy over real examples, and the sums to log.

  The target is `target` [B, C] where the batch has one, else `label` [B] smoothed. Auxiliary logits
  are held to it too, each weighted by `aux_weight` (0.3 in arXiv:1409.4842, section 5).
  """
  logits, mask = outputs["logits"], batch["mask"]
  target = batch.get("target")
  if target is None:
    target = jax.nn.one_hot(batch["label"], logits.shape[-1])
    target = optax.smooth_labels(target, label_smoothing)
  each = optax.softmax_cross_entropy(logits, target)
  for aux in outputs.get("aux", {}).values():
    each += aux_weight * optax.softmax_cross_entropy(aux, target)
  hits = logits.argmax(-1) == batch["label"]
  total, count = jnp.sum(each * mask), jnp.sum(mask)
  logs = {"loss": (total, count), "accuracy": (jnp.sum(hits * mask), count)}
  return total / jnp.maximum(count, 1), logs


def metrics(outputs: Outputs, batch: Batch, *, rows: bool = False) -> dict[str, Any]:
  """Returns the sums of a batch that `summarise` turns into figures.

  With `rows` also an example's own answers, under that name, for the figures that need them all.
  """
  logits, label, mask = outputs["logits"], batch["label"], batch["mask"]
  each = optax.softmax_cross_entropy_with_integer_labels(logits, label)
  sums = metrics_of.sums(logits, label, mask)
  more = {"rows": metrics_of.rows(logits, label, mask)} if rows else {}
  return {**sums, "loss": jnp.sum(jnp.where(mask > 0, each, 0)), **more}


def summarise(sums: dict[str, Any], **options: Any) -> dict[str, Any]:
  """Returns the figures of an evaluation from its sums."""
  figures = metrics_of.summarise(sums, **options)
  return {"loss": float(sums["loss"]) / figures["examples"], **figures}


def predict(outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
  """Returns the best class, its probability and all probabilities [B, C]."""
  probabilities = jax.nn.softmax(outputs["logits"])
  return {
    "label": probabilities.argmax(-1),
    "probability": probabilities.max(-1),
    "probabilities": probabilities,
  }
