"""What R-CNN and SPPnet learn without gradients: a class's SVM by hard negatives, and regression.

arXiv:1311.2524, section 2.3 and appendix C; the constants that it does not name are its authors'
program's.
"""

import numpy as np

NORM = 20.0  # of features on average, once scaled: the constants C and RIDGE are made for it
C, POSITIVE, BIAS = 1e-3, 2.0, 10.0  # a mistake's price, a positive's, and the constant feature
FIRST, PART = 2_000, 20_000  # negatives to begin with, and looked through between two fits
HARD, EASY = -1.0, -1.2  # margins above which a negative is taken in, and below which it is let go
RIDGE = 1_000.0


def scale_of(rows: np.ndarray) -> float:
  """Returns the factor that brings rows [M, F] to a norm of `NORM` on average."""
  some = rows[:: max(1, len(rows) // PART)]
  norm = np.linalg.norm(some, axis=-1).mean() if len(some) else 0.0
  return NORM / float(norm) if norm else 1.0


def mine(
  features: np.ndarray, positives: np.ndarray, negatives: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray, int]:
  """Returns weights [F] and bias [] of a class's SVM, and how many negatives it was left with.

  Args:
    features: [M, F], on disk or in memory.
    positives: the class's rows.
    negatives: rows that are not, in the order to look through them: all once, for more passes do
      not help.
    scale: of `scale_of`; the SVM that comes out is one of features as they are.
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
    class_weight={1: POSITIVE},
    intercept_scaling=BIAS,
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
