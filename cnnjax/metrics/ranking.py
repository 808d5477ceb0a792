"""ROC-AUC and average precision, which need the scores of all examples, not sums of batches."""

from typing import Any

import numpy as np


def roc_auc_and_precision(score: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
  """Returns the area under the ROC curve and the average precision of score [N].

  Equal scores are one threshold. As in scikit-learn the area is NaN where all of positive [N] are
  equal, and the average precision is 0 where none is positive.
  """
  order = np.argsort(-score)
  score = score[order]
  ends = np.append(np.flatnonzero(score[1:] != score[:-1]), len(score) - 1)
  hits = np.cumsum(positive[order])[ends].astype(np.float64)  # at each threshold
  misses = ends + 1 - hits
  gained = np.diff(hits, prepend=0)
  area = np.sum(np.diff(misses, prepend=0) * (hits - gained / 2))  # by the trapezoidal rule
  pairs = hits[-1] * misses[-1]
  precision = np.sum(gained * hits / (ends + 1)) / max(hits[-1], 1)
  return float(area / pairs) if pairs else float("nan"), float(precision)


def summarise(probabilities: np.ndarray, positive: np.ndarray) -> dict[str, Any]:
  """Returns ROC-AUC and average precision of probabilities [N, C], of each class against the rest.

  An example belongs to class c where positive [N, C] is true; it may belong to several. `ranking`
  holds the figures of each class. A figure that is not defined is None, and `undefined` says why;
  the mean ROC-AUCs leave such classes out.
  """
  classes, undefined = probabilities.shape[1], {}
  each = np.full((classes, 2), np.nan)
  if np.isnan(probabilities).any():
    undefined["roc_auc, average_precision"] = "an example's probabilities are no numbers"
  else:
    each[:] = [roc_auc_and_precision(probabilities[:, c], positive[:, c]) for c in range(classes)]
    for c in np.flatnonzero(np.isnan(each[:, 0])):
      found = "every" if positive[:, c].any() else "no"
      undefined[f"ranking[{c}].roc_auc"] = f"{found} example is of this class"
  area, precision = each.T
  there = ~np.isnan(area)
  weights = positive.sum(0)[there]
  return {
    "macro_roc_auc": float(area[there].mean()) if there.any() else None,
    "weighted_roc_auc": float(np.average(area[there], weights=weights)) if there.any() else None,
    "macro_average_precision": _known(precision.mean()),
    "ranking": [{"roc_auc": _known(a), "average_precision": _known(p)} for a, p in each],
    "undefined": undefined,
  }


def _known(value: float) -> float | None:
  return None if np.isnan(value) else float(value)
