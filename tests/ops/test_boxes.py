"""Boxes: overlap by plain loops, offsets there and back, anchors and default boxes by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.ops import boxes
from cnnjax.ops.anchors import anchors, default_boxes
from tests.ops import brute_boxes as plain

EVERY = np.concatenate([plain.random(0, 12), plain.odd()])


def test_overlap_of_any_boxes():
  want = [[plain.iou(a, b) for b in EVERY] for a in EVERY]
  np.testing.assert_allclose(boxes.iou(EVERY, EVERY), want, rtol=1e-6)
  assert boxes.iou(EVERY[:3], EVERY[3:3]).shape == (3, 0)
  assert boxes.iou(EVERY[None, :3], EVERY[None]).shape == (1, 3, len(EVERY))


def test_boxes_are_cut_off_at_the_image_or_at_each_ones():
  want = np.clip(EVERY, 0, [90, 70, 90, 70])
  np.testing.assert_array_equal(boxes.clip(EVERY, (70, 90)), want)
  both = boxes.clip(np.stack([EVERY] * 2), jnp.asarray([[70, 90], [7, 9]])[:, None])
  np.testing.assert_array_equal(both[0], want)
  assert both[1].max() == 9
  assert boxes.large(np.asarray([[0, 0, 2, 1], [0, 0, 2, 0.5]]), 1).tolist() == [True, False]
  assert boxes.area(np.asarray([1.0, 2, 4, 6])) == 12


def test_offsets_by_hand():
  offsets = boxes.encode(jnp.asarray([10.0, 10, 30, 50]), jnp.asarray([0.0, 0, 10, 20]))
  np.testing.assert_allclose(offsets, [1.5, 1, np.log(2), np.log(2)], rtol=1e-6)
  four = boxes.encode(
    jnp.asarray([10.0, 10, 30, 50]), jnp.asarray([0.0, 0, 10, 20]), (10, 10, 5, 5)
  )
  np.testing.assert_allclose(four, offsets * np.asarray([10, 10, 5, 5]), rtol=1e-6)


def test_offsets_there_and_back():
  real = EVERY[(EVERY[:, 2:] > EVERY[:, :2]).all(1)]
  a, b = real[:, None], real[None]
  wide = (a[..., 2:] - a[..., :2]) / (b[..., 2:] - b[..., :2])
  back = boxes.decode(boxes.encode(a, b, (10, 10, 5, 5)), b, (10, 10, 5, 5))
  fits = (wide < 1000 / 16).all(-1)
  want = np.broadcast_to(a, back.shape)
  assert fits.sum() > 100
  np.testing.assert_allclose(back[fits], want[fits], rtol=1e-4, atol=0.02)


def test_nothing_is_infinite():
  assert np.isfinite(boxes.encode(EVERY[:, None], EVERY)).all()
  found = boxes.decode(jnp.full((1, 4), 1e3), jnp.asarray([[0.0, 0, 16, 16]]))
  np.testing.assert_allclose(found[0, 2:] - found[0, :2], 1000, rtol=1e-5)
  masked = lambda x: jnp.where(  # noqa: E731
    jnp.asarray([True, False]),
    jnp.abs(boxes.encode(x, jnp.asarray([[0.0, 0, 4, 4], [0, 0, 0, 0]]))).sum(-1),
    0,
  ).sum()
  assert np.isfinite(jax.grad(masked)(jnp.asarray([[1.0, 1, 3, 5], [0, 0, 0, 0]]))).all()


def test_anchors_are_whole_pixels_about_each_cell():
  found = anchors((2, 3), (33, 50), (32, 64), (0.5, 1.0, 2.0))
  assert found.shape == (2 * 3 * 6, 4) and found.dtype == np.float32
  first = [[-23, -11, 23, 11], [-45, -23, 45, 23], [-16, -16, 16, 16], [-32, -32, 32, 32]]
  np.testing.assert_array_equal(found[:4], first)
  shift = found.reshape(2, 3, 6, 4) - found[:6]
  np.testing.assert_array_equal(shift[1, 2], np.broadcast_to([32, 16, 32, 16], (6, 4)))


@pytest.mark.parametrize(
  "image, cells, scales, ratios, count",
  [  # arXiv:1512.02325, section 3.1 and SSD512's caffe model
    (300, (38, 19, 10, 5, 3, 1), (0.1, 0.2, 0.375, 0.55, 0.725, 0.9, 1.075), "233322", 8732),
    (
      512,
      (64, 32, 16, 8, 4, 2, 1),
      (0.07, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05),
      "2333322",
      24564,
    ),
  ],
)
def test_default_boxes_are_as_many_as_the_papers(image, cells, scales, ratios, count):
  ratios = [(2,) if r == "2" else (2, 3) for r in ratios]
  found = default_boxes([(n, n) for n in cells], (image, image), scales, ratios)
  assert found.shape == (count, 4)
  centre, side = (found[:, :2] + found[:, 2:]) / 2, found[:, 2:] - found[:, :2]
  np.testing.assert_allclose(centre[0], image / cells[0] / 2, rtol=1e-6)
  want = [scales[0], np.sqrt(scales[0] * scales[1])]
  np.testing.assert_allclose(side[:2, 0], np.asarray(want) * image, rtol=1e-5)
  np.testing.assert_allclose(
    side[2], [image * scales[0] * 2**0.5, image * scales[0] / 2**0.5], 1e-5
  )
  assert side.max() <= image
