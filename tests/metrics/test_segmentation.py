"""Figures of class maps against scikit-learn's, and against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, jaccard_score

from cnnjax.metrics import segmentation

RNG = np.random.default_rng(0)
VOID, CLASSES = 255, 5
ADD = jax.jit(segmentation.sums, static_argnames="classes")


def maps(*shape):
  """Returns an answer and a truth, in which class 4 is nowhere and some pixels are void."""
  truth = RNG.integers(0, 4, shape).astype(np.uint8)
  found = np.where(RNG.random(shape) < 0.6, truth, RNG.integers(0, 4, shape)).astype(np.uint8)
  truth[RNG.random(shape) < 0.1] = VOID
  return found, truth


def summed(found, truth, mask, size=2):
  """Returns the sums over batches, added as `engine.evaluate` adds them."""
  parts = [
    ADD(
      {"segments": found[k : k + size], "cost": np.ones(found[k : k + size].shape, np.float32)},
      truth[k : k + size],
      mask[k : k + size],
      classes=CLASSES,
    )
    for k in range(0, len(found), size)
  ]
  return jax.tree.map(lambda *values: np.sum(np.stack(values).astype(np.float64), 0), *parts)


@pytest.mark.parametrize("shape", [(6, 9, 11), (6, 4, 5, 6)])
def test_as_scikit_learn(shape):
  found, truth = maps(*shape)
  mask = np.asarray([1, 1, 0, 1, 1, 1], np.float32)
  figures = segmentation.summarise(summed(found, truth, mask))
  there = (truth != VOID) & (mask > 0).reshape(-1, *(1,) * (len(shape) - 1))
  y, p = truth[there], found[there]
  assert figures["confusion"] == confusion_matrix(y, p, labels=range(CLASSES)).tolist()
  np.testing.assert_allclose(figures["pixel_accuracy"], (y == p).mean())
  np.testing.assert_allclose(figures["mean_accuracy"], balanced_accuracy_score(y, p))
  iou = jaccard_score(y, p, average=None, labels=range(4))
  each = figures["per_class"]
  np.testing.assert_allclose([row["iou"] for row in each[:4]], iou)
  assert each[4] == {
    **dict.fromkeys(("iou", "dice", "case_dice", "accuracy", "precision")),
    "pixels": 0,
  }
  np.testing.assert_allclose(figures["mean_iou"], iou.mean())
  np.testing.assert_allclose([row["dice"] for row in each[:4]], 2 * iou / (1 + iou))
  assert figures["examples"] == 5 and figures["loss"] == pytest.approx(
    mask.sum() * found[0].size / len(y)
  )


def test_dice_of_cases_is_of_those_that_have_the_class():
  found, truth = maps(4, 6, 7)
  found[0][found[0] == 3], truth[0][truth[0] == 3] = 0, 0  # class 3 is nowhere in the first
  truth[1][truth[1] == 3] = 0  # and only in the answer to the second
  figures = segmentation.summarise(summed(found, truth, np.ones(4)))
  for kind in range(4):
    each = []
    for p, t in zip(found, truth):
      one, two = (p == kind) & (t != VOID), t == kind
      if one.any() or two.any():
        each.append(2 * (one & two).sum() / (one.sum() + two.sum()))
    assert len(each) == (3 if kind == 3 else 4)
    assert figures["per_class"][kind]["case_dice"] == pytest.approx(np.mean(each))


def test_what_is_not_a_number_is_no_answer():
  logits = RNG.normal(size=(2, 4, 4, CLASSES)).astype(np.float32)
  truth = logits.argmax(-1).astype(np.uint8)
  logits[0, :2, :, 1] = np.nan
  truth[0, 0] = VOID
  found = segmentation.pixels(jnp.asarray(logits), truth)
  assert (np.asarray(found["segments"])[0, :2] == VOID).all() and not found["cost"][0, 0].any()
  sums = segmentation.sums(found, truth, np.ones(2), CLASSES)
  figures = segmentation.summarise(sums)
  assert figures["not_finite"] == 4 and figures["pixel_accuracy"] == pytest.approx(24 / 28)
