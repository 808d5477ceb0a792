"""Suppression against a plain loop: random boxes, ties, padding, classes, few places."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.ops import nms as module
from cnnjax.ops.nms import nms
from tests.ops import brute_boxes as plain

run = jax.jit(nms, static_argnums=(2, 3))


def kept(boxes, scores, threshold, places=300, labels=None):
  index, real = run(jnp.asarray(boxes), jnp.asarray(scores), threshold, places, labels)
  assert real.tolist() == sorted(real.tolist(), reverse=True)
  assert not np.asarray(index)[~np.asarray(real)].any()
  return np.asarray(index)[np.asarray(real)].tolist()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("whole", [False, True])
def test_a_plain_loop_keeps_the_same_boxes(threshold, whole):
  for seed in range(3):  # 300 boxes are three blocks
    boxes = np.concatenate([plain.odd(), plain.random(seed, 291, 120, 90, whole)])
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, 300) if whole else rng.uniform(size=300)
    labels = rng.integers(0, 3, 300)
    scores = scores.astype(np.float32)
    assert kept(boxes, scores, threshold) == plain.nms(boxes, scores, threshold)
    want = plain.nms(boxes, scores, threshold, labels)
    assert kept(boxes, scores, threshold, labels=labels) == want


def test_a_box_that_overlaps_by_just_the_threshold_is_kept():
  boxes = np.asarray([[0, 0, 2, 2], [0, 0, 2, 1], [0, 0, 4, 1]], np.float32)  # halves
  assert kept(boxes, np.asarray([3, 2, 1], np.float32), 0.5) == [0, 1, 2]
  assert kept(boxes, np.asarray([3, 2, 1], np.float32), 0.49) == [0, 2]  # 1, dropped, overlaps 2


def test_a_long_chain_is_settled_in_one_block():
  line = np.arange(100, dtype=np.float32)[:, None] * [1, 0, 1, 0] + np.asarray([0, 0, 3, 3])
  assert kept(line, -np.arange(100, dtype=np.float32), 0.4) == list(range(0, 100, 2))


def test_few_places_hold_the_best_boxes():
  boxes = plain.random(5, 400, 900, 900)
  scores = np.random.default_rng(5).uniform(size=400).astype(np.float32)
  want = plain.nms(boxes, scores, 0.5)
  for places in (1, 7, 150):
    assert kept(boxes, scores, 0.5, places) == want[:places]


def test_boxes_without_a_score_are_dropped():
  boxes = plain.random(1, 9)
  assert kept(boxes, np.full(9, -np.inf, np.float32), 0.5) == []
  assert kept(boxes[:0], np.zeros(0, np.float32), 0.5) == []
  scores = np.asarray([np.nan, 1, -np.inf, 3, np.nan, -1e9, 0, 0, 0], np.float32)
  there = [i for i in plain.nms(boxes, np.nan_to_num(scores), 1.0) if i in (1, 3, 5, 6, 7, 8)]
  assert sorted(kept(boxes, scores, 1.0)) == sorted(there)
  assert kept(np.stack([boxes[0]] * 9), np.ones(9, np.float32), 0.5) == [0]


def test_a_batch_is_each_image_alone():
  boxes = np.stack([plain.random(s, 200) for s in range(3)])
  scores = np.random.default_rng(0).uniform(size=(3, 200)).astype(np.float32)
  scores[2] = -np.inf
  index, real = jax.jit(jax.vmap(partial(nms, threshold=0.5, places=40)))(boxes, scores)
  for n in range(3):
    assert index[n][real[n]].tolist() == kept(boxes[n], scores[n], 0.5, 40)
  assert not real[2].any()


def test_ten_thousand_boxes_need_no_square_matrix():
  arguments = (jax.ShapeDtypeStruct((10_000, 4), "f4"), jax.ShapeDtypeStruct((10_000,), "f4"))
  compiled = run.lower(*arguments, 0.7, 1000).compile()
  assert compiled.memory_analysis().temp_size_in_bytes < 4e6  # 1e8 pairs would be 400 MB
  assert module.BLOCK * 1000 * 4 < 4e6
