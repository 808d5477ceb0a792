"""How good a network of several labels an image is, from sums that add over batches."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.metrics import ranking
from cnnjax.metrics.classification import SCORES, scores

Sums = dict[str, Any]


def sums(logits: jax.Array, target: jax.Array, mask: jax.Array) -> Sums:
  """Returns counts [L] of logits [B, L] against target [B, L] of 0 and 1, where mask [B] is 1.

  A label is predicted where its logit is above 0, its probability above a half. `right` counts the
  labels that are there and predicted, `predicted` and `support` those that are either, `hits`
  those that are predicted as they are; `exact` the examples of which all are. A NaN predicts
  nothing and is no hit.
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
  """Returns the probabilities [B, L] with target [B, L] and mask [B]: what no sum can stand for."""
  return {"probabilities": jax.nn.sigmoid(logits), "target": target, "mask": mask}


def summarise(sums: Sums) -> dict[str, Any]:
  """Returns precision, recall, F1 and accuracy of each label, and their averages.

  Averages are macro over the labels, weighted by their examples, micro over all decisions as one.
  `accuracy` is the part of all decisions that are right, `subset_accuracy` that of the examples
  without a wrong one. What divides by 0 is 0, as in scikit-learn. Where the sums hold `rows`, of
  all batches, ROC-AUC and average precision are added; `macro_average_precision` is the mAP.
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
  """Returns the ranking of each label, its means, and that of all decisions as one."""
  found = ranking.summarise(probabilities, there)
  whole = ranking.summarise(probabilities.reshape(-1, 1), there.reshape(-1, 1))
  micro = {f"micro_{name}": value for name, value in whole["ranking"][0].items()}
  return {**micro, **found}
