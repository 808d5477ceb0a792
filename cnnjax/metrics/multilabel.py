"""Metrics of several labels for each example, from sums that add over batches."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.metrics import ranking
from cnnjax.metrics.classification import SCORES, scores

Sums = dict[str, Any]


def sums(logits: jax.Array, target: jax.Array, mask: jax.Array) -> Sums:
  """Returns counts [L] of logits [B, L] against target [B, L] of 0 and 1, where mask [B] is 1.

  A label is predicted where its logit is above 0, so its probability above 1/2. For each label
  `right` counts the examples that have it and for which it is predicted, `predicted` those for
  which it is predicted, `support` those that have it, and `hits` those with a correct decision.
  `exact` counts the examples with correct decisions for all labels. A NaN predicts nothing and is
  no correct decision.
  """
  there, guess, real = target > 0.5, logits > 0, (mask > 0)[:, None]
  hits = (there == guess) & ~jnp.isnan(logits) & real

  def count(chosen):
    return jnp.sum(chosen & real, 0, dtype=jnp.int32)

  return {
    "right": count(there & guess),
    "predicted": count(guess),
    "support": count(there),
    "hits": count(hits),
    "exact": jnp.sum(hits.all(-1), dtype=jnp.int32),
    "examples": jnp.sum(mask > 0, dtype=jnp.int32),
  }


def rows(logits: jax.Array, target: jax.Array, mask: jax.Array) -> Sums:
  """Returns probabilities [B, L], target [B, L] and mask [B], for figures that need them all."""
  return {"probabilities": jax.nn.sigmoid(logits), "target": target, "mask": mask}


def summarise(sums: Sums) -> dict[str, Any]:
  """Returns precision, recall, F1 and accuracy of each label, and their averages.

  Averages are macro over the labels, weighted by the labels' examples, and micro over all decisions
  together. `accuracy` is the part of all decisions that are correct, `subset_accuracy` the part of
  the examples without a wrong decision. A figure with denominator 0 is 0, as in scikit-learn. Where
  the sums hold `rows`, of all batches, ROC-AUC and average precision are added;
  `macro_average_precision` is the mAP.
  """
  n = int(sums["examples"])
  right, predicted, support, hits = (
    np.asarray(sums[key]) for key in ("right", "predicted", "support", "hits")
  )
  each = scores(right, predicted, support)
  averages = {
    "micro": scores(right.sum(), predicted.sum(), support.sum()),
    "macro": each.mean(1),
    "weighted": each @ support / max(support.sum(), 1),
  }
  averages = {name: dict(zip(SCORES, map(float, values))) for name, values in averages.items()}
  found = {}
  if "rows" in sums:
    real = sums["rows"]["mask"] > 0
    found = _ranking(sums["rows"]["probabilities"][real], sums["rows"]["target"][real] > 0.5)
  return {
    "accuracy": float(hits.mean() / n),
    "subset_accuracy": float(sums["exact"] / n),
    **{f"micro_{name}": value for name, value in averages["micro"].items()},
    **{f"macro_{name}": value for name, value in averages["macro"].items()},
    **found,
    "examples": n,
    "averages": averages,
    "per_label": [
      {**dict(zip(SCORES, map(float, values))), "accuracy": float(h / n), "examples": int(s)}
      for values, h, s in zip(each.T, hits, support)
    ],
  }


def _ranking(probabilities: np.ndarray, there: np.ndarray) -> dict[str, Any]:
  """Returns the ranking figures of each label, their means, and those of all decisions together."""
  found = ranking.summarise(probabilities, there)
  whole = ranking.summarise(probabilities.reshape(-1, 1), there.reshape(-1, 1))
  micro = {f"micro_{name}": value for name, value in whole["ranking"][0].items()}
  return {**micro, **found}
