"""RoI max pooling, SPPnet's pyramid and RoI align against plain loops, with their gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.ops.roi import fast_rcnn_cells, max_in_cells, pyramid_pool, roi_pool, sppnet_cells
from cnnjax.ops.roi_align import pyramid_levels, roi_align
from tests.ops import brute_boxes as plain


def problem(height, width, ties=False, batch=2):
  """Returns features [B, H, W, 2] and boxes [B, 15, 4] about an image of 8 pixels a cell."""
  rng = np.random.default_rng([height, width])
  shape = (batch, height, width, 2)
  features = rng.integers(-1, 2, shape) if ties else rng.normal(size=shape)
  each = [plain.random(s, 6, 8.0 * width, 8.0 * height) for s in range(batch)]
  odd = plain.odd(8 * width, 8 * height)
  return features.astype(np.float32), np.stack([np.concatenate([odd, e]) for e in each])


def test_corners_are_rounded_as_in_caffe():
  boxes = np.asarray([[8, 24, 40, -8], [7.9, 8.1, -24, 56]], np.float32)
  assert fast_rcnn_cells(boxes, 1 / 16).tolist() == [[1, 2, 3, -1], [0, 1, -2, 4]]
  assert sppnet_cells(np.asarray([[0, 15, 32, 33]]), 1 / 16).tolist() == [[1, 1, 1, 2]]


@partial(jax.jit, static_argnums=2)  # the cases with ties then need no program of their own
def pooled(features, boxes, size):
  return roi_pool(features, boxes, size, 1 / 8)


@partial(jax.jit, static_argnums=2)
def pooled_and_back(features, boxes, size, gradient):
  found, back = jax.vjp(lambda x: roi_pool(x, boxes, size, 1 / 8), features)
  return found, back(gradient)[0]


@pytest.mark.parametrize(
  "height, width, size", [(9, 12, (7, 7)), (20, 5, (2, 3)), (13, 13, (1, 1))]
)
@pytest.mark.parametrize("ties", [False, True])
def test_maxima_and_their_gradient(height, width, size, ties):
  features, boxes = problem(height, width, ties)
  cells = fast_rcnn_cells(boxes, 1 / 8)
  alone = pooled(features, boxes, size)  # without the winners
  gradient = np.random.default_rng(0).normal(size=alone.shape).astype(np.float32)
  found, to_map = pooled_and_back(features, boxes, size, gradient)
  for n in range(len(features)):
    want, first = plain.max_in_cells(features[n], cells[n], size)
    np.testing.assert_array_equal(found[n], want)
    expected = np.zeros_like(features[n])
    for index, cell in first.items():
      expected[cell] += gradient[n][index]
    np.testing.assert_allclose(to_map[n], expected, atol=1e-5)
  np.testing.assert_array_equal(alone, found)


def test_no_boxes_have_no_maxima():
  features, boxes = problem(6, 6)
  pool = lambda x: roi_pool(x, boxes[:, :0], (3, 2), 1 / 8)  # noqa: E731
  align = lambda x: roi_align([x], boxes[:, :0], (3, 2), [1 / 8])  # noqa: E731
  for read in (pool, align):
    assert jax.eval_shape(read, features).shape == (2, 0, 3, 2, 2)
    assert not jax.jit(jax.grad(lambda x, read=read: read(x).sum()))(features).any()


def test_a_pyramid_is_a_pooling_of_each_size():
  features, boxes = problem(14, 11)
  boxes = np.clip(boxes, 0, [88, 112, 88, 112])
  cells = jnp.clip(sppnet_cells(boxes, 1 / 8), 0, jnp.asarray([10, 13, 10, 13]))
  sizes = (1, 2, 3, 6)
  one = lambda n: max_in_cells(features, cells, (n, n)).reshape(2, -1, n * n, 2)  # noqa: E731
  each = jax.jit(lambda: [one(n) for n in sizes])()
  inside = (cells[..., 2:] >= cells[..., :2]).all(-1) & (sppnet_cells(boxes, 1 / 8) == cells).all(
    -1
  )
  found = jax.jit(lambda: pyramid_pool(features, boxes, 1 / 8, sizes))()
  assert found.shape == (2, 15, 50, 2) and inside.sum() > 5
  np.testing.assert_array_equal(found[inside], jnp.concatenate(each, 2)[inside])
  with pytest.raises(ValueError, match="must divide the largest"):
    pyramid_pool(features, boxes, 1 / 8, (1, 4, 6))


@pytest.mark.parametrize("samples, aligned", [(2, False), (2, True), (1, False)])
def test_bilinear_means_and_their_gradient(samples, aligned):
  features, boxes = problem(7, 9)
  options = dict(size=(3, 2), scales=[1 / 8], samples=samples, aligned=aligned)
  align = jax.jit(lambda x: roi_align([x], boxes, **options))
  found = align(features)
  for n in range(2):
    want = plain.roi_align(features[n], boxes[n], (3, 2), 1 / 8, samples, aligned)
    np.testing.assert_allclose(found[n], want, atol=1e-5)
  gradient = np.random.default_rng(1).normal(size=found.shape).astype(np.float32)
  other = np.random.default_rng(2).normal(size=features.shape).astype(np.float32)
  back = jax.jit(lambda x, gradient: jax.vjp(align, x)[1](gradient))
  (to_map,) = back(features, gradient)
  # align is linear: <gradient, align(other)> = <to_map, other>
  np.testing.assert_allclose(np.sum(gradient * align(other)), np.sum(to_map * other), rtol=1e-4)


def test_each_box_is_read_from_its_own_map():
  sizes = [(16, 12), (8, 6), (4, 3)]
  maps = [np.random.default_rng(n).normal(size=(2, h, w, 2)) for n, (h, w) in enumerate(sizes)]
  maps = [m.astype(np.float32) for m in maps]
  scales = [1 / 8, 1 / 16, 1 / 32]
  boxes = np.stack([plain.random(s, 20, 96, 128) for s in range(2)])
  levels = np.random.default_rng(0).integers(0, 3, (2, 20))

  def read(*maps):
    return roi_align(maps, boxes, (2, 2), scales, levels=levels, samples=1)

  def alone(*maps):
    each = [roi_align([m], boxes, (2, 2), [s], samples=1) for m, s in zip(maps, scales)]
    return jnp.stack(each)[levels, np.arange(2)[:, None], np.arange(20)]

  gradient = np.random.default_rng(3).normal(size=(2, 20, 2, 2, 2)).astype(np.float32)
  both = jax.jit(lambda f, *m: (f(*m), jax.vjp(f, *m)[1](gradient)), static_argnums=0)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), both(read, *maps), both(alone, *maps)
  )


def test_a_box_twice_as_long_is_one_level_up():
  side = np.asarray([0, 10, 111, 112, 223, 224, 448, 5000], np.float32)
  boxes = np.stack([0 * side, 0 * side, side, side], -1)
  assert pyramid_levels(boxes, 2, 5).tolist() == [0, 0, 0, 1, 1, 2, 3, 3]
