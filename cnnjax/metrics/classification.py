"""How good a classifier is, from sums that add over batches, devices and hosts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Sums = dict[str, Any]


def sums(logits: jax.Array, label: jax.Array, mask: jax.Array) -> Sums:
  """Returns counts of logits [B, C] against label [B], where mask [B] is 1.

  `rank` [C] counts how many classes stood above the true one (0 is a hit; of equal logits the
  first counts as higher), `confusion` [C, C] true classes by predicted ones; both leave out an
  example with a NaN among its logits, which answers nothing. `support` [C] counts every example by
  its true class, `examples` all.
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
  }


def summarise(sums: Sums, top_k: int = 5) -> dict[str, Any]:
  """Returns accuracy, top-k, the confusion matrix, and each class's precision, recall and F1.

  A class never predicted has precision 0, one without examples recall 0; one that is neither there
  nor predicted does not count in the macro averages, as in scikit-learn.
  """
  rank, confusion = np.asarray(sums["rank"]), np.asarray(sums["confusion"])
  examples = int(sums["examples"])
  hits = np.cumsum(rank) / examples
  right = np.diag(confusion).astype(np.float64)
  support, predicted = np.asarray(sums["support"]), confusion.sum(0)
  precision = np.divide(right, predicted, out=np.zeros_like(right), where=predicted > 0)
  recall = np.divide(right, support, out=np.zeros_like(right), where=support > 0)
  both = precision + recall
  f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(right), where=both > 0)
  seen = support + predicted > 0
  top = {f"top_{k}": float(hits[k - 1]) for k in range(2, 1 + min(top_k, len(rank)))}
  return {
    "accuracy": float(hits[0]),
    **top,
    "macro_precision": float(precision[seen].mean()),
    "macro_recall": float(recall[seen].mean()),
    "macro_f1": float(f1[seen].mean()),
    "examples": examples,
    "per_class": [
      {"precision": float(p), "recall": float(r), "f1": float(f), "examples": int(n)}
      for p, r, f, n in zip(precision, recall, f1, support)
    ],
    "confusion": confusion.tolist(),
  }
