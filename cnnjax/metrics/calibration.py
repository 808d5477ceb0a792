"""Calibration: whether a classifier's confidence equals its accuracy, from sums over batches."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

BINS = 15  # number of bins as in arXiv:1706.04599, section 5
EDGES = np.linspace(0, 1, BINS + 1).astype(np.float32)


def sums(probabilities: jax.Array, label: jax.Array, mask: jax.Array) -> dict[str, jax.Array]:
  """Returns sums [15] of probabilities [B, C] against label [B], by bins of confidence.

  The confidence is the highest probability; bin m holds confidences in (m/15, (m+1)/15]. `examples`
  counts a bin's examples, `hits` those that are classified correctly, `below` sums the distances of
  confidences to the bin's upper edge, which in float32 has less rounding error than a sum of
  confidences. Examples with NaN among their probabilities, or with mask [B] 0, are in no bin.
  """
  confidence = probabilities.max(-1)
  told = (mask > 0) & ~jnp.isnan(confidence)
  place = jnp.clip(jnp.searchsorted(EDGES, confidence) - 1, 0, BINS - 1)
  below = jnp.where(told, jnp.asarray(EDGES)[place + 1] - confidence, 0)
  hits = told & (probabilities.argmax(-1) == label)
  none = jnp.zeros(BINS, jnp.int32)
  return {
    "examples": none.at[place].add(told.astype(jnp.int32)),
    "hits": none.at[place].add(hits.astype(jnp.int32)),
    "below": none.astype(below.dtype).at[place].add(below),
  }


def summarise(sums: dict[str, Any]) -> dict[str, Any]:
  """Returns the expected calibration error, and each bin's examples, confidence and accuracy.

  The error is the mean of the bins' |accuracy - confidence|, weighted by their examples
  (arXiv:1706.04599, equation 5), NaN without examples. The confidence and the accuracy of an empty
  bin are None.
  """
  edges = EDGES.astype(np.float64)
  examples = np.asarray(sums["examples"])
  some = np.maximum(examples, 1)
  accuracy = np.asarray(sums["hits"]) / some
  confidence = edges[1:] - np.asarray(sums["below"], np.float64) / some
  total = examples.sum()
  gaps = examples * np.abs(accuracy - confidence)
  return {
    "expected_calibration_error": float(gaps.sum() / total) if total else float("nan"),
    "calibration": [
      {
        "low": m / BINS,
        "high": (m + 1) / BINS,
        "examples": int(n),
        "confidence": float(c) if n else None,
        "accuracy": float(a) if n else None,
      }
      for m, (n, c, a) in enumerate(zip(examples, confidence, accuracy))
    ],
  }
