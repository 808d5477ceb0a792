"""Matching against plain loops, and what a sample may hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.ops.boxes import iou
from cnnjax.ops.matching import BETWEEN, NONE, match, match_ssd, sample
from tests.ops import brute_boxes as plain


def matched(overlap, valid, low, high, best):
  """The rules of arXiv:1506.01497, section 3.1.2, box by box."""
  truths = [n for n in range(len(overlap)) if valid[n]]
  found = []
  for m in range(overlap.shape[1]):
    most, nearest = max([(overlap[n, m], -n) for n in truths], default=(-1, 0))
    chosen = -nearest if most >= high else BETWEEN if most >= low else NONE
    if best and any(overlap[n, m] == overlap[n].max() > 0 for n in truths):
      chosen = -nearest
    found.append(chosen)
  return found


def matched_ssd(overlap, valid, threshold):
  found = matched(overlap, valid, threshold, threshold, False)
  for n in range(len(overlap)):
    if valid[n] and overlap[n].max() > 0:
      found[int(overlap[n].argmax())] = n
  return found


@pytest.mark.parametrize("seed", range(4))
def test_plain_loops_match_the_same(seed):
  whole = seed % 2 == 0  # with ties
  truth = np.concatenate([plain.random(seed, 7, whole=whole), plain.odd()])
  overlap = np.asarray(iou(truth, plain.random(seed + 9, 200, whole=whole)))
  valid = np.random.default_rng(seed).uniform(size=len(truth)) < 0.7
  for best in (False, True):
    want = matched(overlap, valid, 0.3, 0.5, best)
    assert match(overlap, valid, 0.3, 0.5, best=best).tolist() == want
  assert match_ssd(overlap, valid, 0.5).tolist() == matched_ssd(overlap, valid, 0.5)


@pytest.mark.parametrize("count", [0, 3])
def test_an_image_without_boxes_is_background(count):
  overlap, valid = jnp.ones((count, 5)), jnp.zeros(count, bool)
  assert match(overlap, valid, 0.3, 0.7, best=True).tolist() == [NONE] * 5
  assert match_ssd(overlap, valid, 0.5).tolist() == [NONE] * 5


@pytest.mark.parametrize(
  "objects, background, want",
  [(50, 100, (4, 12)), (2, 100, (2, 14)), (50, 3, (4, 3)), (0, 100, (0, 16)), (0, 0, (0, 0))],
)
def test_a_sample_holds_a_share_of_objects(objects, background, want):
  kinds = np.asarray([5] * objects + [NONE] * background + [BETWEEN] * 20)
  kinds = np.random.default_rng(0).permutation(kinds)
  draw = jax.jit(lambda key: sample(key, jnp.asarray(kinds), 16, 0.25))
  index, there, is_object = map(np.asarray, draw(jax.random.key(0)))
  assert index.shape == there.shape == is_object.shape == (16,)
  assert (is_object.sum(), (there & ~is_object).sum()) == want
  assert len(set(index[there])) == there.sum()
  assert (kinds[index[is_object]] >= 0).all() and (kinds[index[there & ~is_object]] == NONE).all()


def test_each_box_is_as_likely():
  matches = jnp.asarray([0] * 8 + [NONE] * 8)
  draws = jax.vmap(lambda key: sample(key, matches, 4, 0.5)[0])(
    jax.random.split(jax.random.key(1), 2000)
  )
  counts = np.bincount(np.asarray(draws).ravel(), minlength=16)
  assert counts.min() > 400 and counts.max() < 600  # 500 expected, deviation 19
