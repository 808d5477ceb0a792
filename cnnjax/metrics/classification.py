"""Metrics of a classifier, from sums that add over batches, devices and hosts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.metrics import calibration, ranking

Sums = dict[str, Any]
SCORES = ("precision", "recall", "f1")


def sums(logits: jax.Array, label: jax.Array, mask: jax.Array) -> Sums:
  """Returns counts of logits [B, C] against label [B], where mask [B] is 1.

  `rank` [C] counts examples by the number of classes with a higher logit than the true one (0 is a
  hit; of equal logits the first counts as higher). `confusion` [C, C] counts examples by true and
  predicted class. Both leave out examples with NaN among their logits, which have no prediction.
  `support` [C] counts all examples by true class, `examples` all of them; `calibration` holds the
  sums of `calibration.sums`.
  """
  count = logits.shape[-1]
  own = jnp.take_along_axis(logits, label[:, None], axis=-1)
  earlier = (logits == own) & (jnp.arange(count) < label[:, None])
  rank = jnp.sum((logits > own) | earlier, axis=-1)
  real = mask.astype(jnp.int32)
  answered = real * ~jnp.isnan(logits).any(-1)
  return {
    "rank": jnp.zeros(count, jnp.int32).at[rank].add(answered),
    "confusion": jnp.zeros((count, count), jnp.int32).at[label, logits.argmax(-1)].add(answered),
    "support": jnp.zeros(count, jnp.int32).at[label].add(real),
    "examples": real.sum(),
    "calibration": calibration.sums(jax.nn.softmax(logits), label, mask),
  }


def rows(logits: jax.Array, label: jax.Array, mask: jax.Array) -> Sums:
  """Returns the probabilities [B, C], label [B] and mask [B], for figures that need them all."""
  return {"probabilities": jax.nn.softmax(logits), "label": label, "mask": mask}


def summarise(sums: Sums, top_k: int = 5) -> dict[str, Any]:
  """Returns accuracy, top-k, the confusion matrix, calibration, and precision, recall and F1.

  The last three are returned for each class, and averaged: macro over the classes, weighted by the
  classes' examples, and micro over all examples together. A class that is never predicted has
  precision 0, one without examples recall 0; a class with neither is left out of the macro
  averages, as in scikit-learn. Where the sums hold `rows`, of all batches, ROC-AUC and average
  precision are added. `not_finite`, where there are any, counts examples with NaN among their
  logits, which are classified wrongly.
  """
  rank, confusion = np.asarray(sums["rank"]), np.asarray(sums["confusion"])
  examples = int(sums["examples"])
  hits = np.cumsum(rank) / examples
  right, predicted = np.diag(confusion), confusion.sum(0)
  support = np.asarray(sums["support"])
  each = scores(right, predicted, support)
  seen = support + predicted > 0
  averages = {
    "micro": scores(right.sum(), predicted.sum(), support.sum()),
    "macro": each[:, seen].mean(1),
    "weighted": each @ support / examples,
  }
  averages = {name: dict(zip(SCORES, map(float, values))) for name, values in averages.items()}
  top = {f"top_{k}": float(hits[k - 1]) for k in range(2, 1 + min(top_k, len(rank)))}
  found = {}
  if "rows" in sums:
    rows = sums["rows"]
    real = rows["mask"] > 0
    label = rows["label"][real]
    found = ranking.summarise(rows["probabilities"][real], label[:, None] == np.arange(len(rank)))
  return {
    "accuracy": float(hits[0]),
    **top,
    **{f"macro_{name}": value for name, value in averages["macro"].items()},
    **calibration.summarise(sums["calibration"]),
    **found,
    "examples": examples,
    **({"not_finite": lost} if (lost := examples - int(confusion.sum())) else {}),
    "averages": averages,
    "per_class": [
      {**dict(zip(SCORES, map(float, values))), "examples": int(n)}
      for values, n in zip(each.T, support)
    ],
    "confusion": confusion.tolist(),
  }


def scores(right: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> np.ndarray:
  """Returns precision, recall and F1 from counts; 0 where the denominator is 0."""
  precision = right / np.maximum(predicted, 1)
  recall = right / np.maximum(support, 1)
  return np.stack([precision, recall, 2 * right / np.maximum(predicted + support, 1)])
