"""What R-CNN and SPPnet fit without gradients: SVMs with hard negative mining, ridge regression.

arXiv:1311.2524, section 2.3 and appendix C; constants that it does not name are from its authors'
program.
"""

import numpy as np

NORM = 20.0  # mean norm of scaled features, for which C and RIDGE are chosen
C, POSITIVE_WEIGHT, INTERCEPT_SCALING = 1e-3, 2.0, 10.0  # of LinearSVC
FIRST, PART = 2_000, 20_000  # negatives of the first fit, and searched between two fits
HARD, EASY = -1.0, -1.2  # margins above which a negative is added, and below which it is removed
RIDGE = 1_000.0  # weight of the ridge penalty


def scale_of(rows: np.ndarray) -> float:
  """Returns the factor with which rows [M, F] have a mean norm of `NORM`."""
  some = rows[:: max(1, len(rows) // PART)]
  norm = np.linalg.norm(some, axis=-1).mean() if len(some) else 0.0
  return NORM / float(norm) if norm else 1.0


def mine(
  features: np.ndarray, positives: np.ndarray, negatives: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray, int]:
  """Returns weights [F] and bias [] of a class's SVM, and its number of negatives at the end.

  Args:
    features: [M, F], on disk or in memory.
    positives: indices of the class's rows.
    negatives: indices of other rows, in the order in which they are searched, once: more passes do
      not help.
    scale: from `scale_of`; the weights returned are for features that are not scaled.
  """

  def margins(rows):
    return features[rows] @ weights + bias

  held = negatives[:FIRST]
  weights, bias = _svm(features, positives, held, scale)
  for start in range(FIRST, len(negatives), PART):
    part = negatives[start : start + PART]
    hard = part[margins(part) > HARD]
    if len(hard):
      held = np.concatenate([held[margins(held) >= EASY], hard])
      weights, bias = _svm(features, positives, held, scale)
  return weights, bias, len(held)


def _svm(features, positives, negatives, scale):
  from sklearn.svm import LinearSVC

  rows = features[np.concatenate([positives, negatives])] * scale
  machine = LinearSVC(
    C=C,
    loss="hinge",
    class_weight={1: POSITIVE_WEIGHT},
    intercept_scaling=INTERCEPT_SCALING,
    max_iter=20_000,
    random_state=0,
  )
  machine.fit(rows, (np.arange(len(rows)) < len(positives)).astype(int))
  return np.float32(machine.coef_[0] * scale), np.float32(machine.intercept_[0])


def regress(pooled: np.ndarray, offsets: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
  """Returns kernel [G, 4] and bias [4] of the ridge regression of offsets [M, 4] on maps [M, G]."""
  from sklearn.linear_model import Ridge

  machine = Ridge(RIDGE).fit(pooled * scale, offsets)
  return np.float32(machine.coef_.T * scale), np.float32(machine.intercept_)
