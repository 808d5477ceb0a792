"""One map moves pixels, masks and boxes together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cnnjax.data import warp as module
from cnnjax.data.warp import move_boxes

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 255, (6, 12, 12, 2)).astype(np.float32)
warp = jax.jit(module.warp, static_argnames="order")
warp_batch = jax.jit(module.warp_batch)
still = jnp.tile(jnp.asarray([[1.0, 0, 0], [0, 1, 0]]), (6, 1, 1))
everything = dict(rotate=40.0, scale=(0.7, 1.4), shear=20.0, translate=0.2)


def random_maps(key, count, size, **ranges):
  """Returns random maps, drawn by one program."""
  return jax.jit(lambda key: module.random_maps(key, count, size, **ranges))(key)


def test_to_stand_still_changes_nothing():
  np.testing.assert_allclose(warp(IMAGES, still), IMAGES, rtol=1e-6)
  maps = random_maps(jax.random.key(0), 6, (12, 12))
  np.testing.assert_allclose(maps, still, atol=1e-5)


def test_a_quarter_turn_and_a_step():
  turn = jnp.tile(jnp.asarray([[0.0, 1, 0], [-1, 0, 11]]), (6, 1, 1))
  np.testing.assert_allclose(warp(IMAGES, turn), np.rot90(IMAGES, axes=(1, 2)), atol=1e-3)
  step = still.at[:, 0, 2].set(2.0)  # looks two rows further down
  found = warp(IMAGES, step)
  np.testing.assert_allclose(found[:, :-2], IMAGES[:, 2:], rtol=1e-6)
  assert not np.asarray(found[:, -2:]).any()


@pytest.mark.parametrize("order", [0, 1])
def test_as_scipy_samples(order):
  maps = random_maps(jax.random.key(1), 6, (12, 12), **everything)
  found = np.asarray(warp(IMAGES, maps, order=order))
  for image, by, one in zip(IMAGES, np.asarray(maps, np.float64), found):
    for channel in range(2):
      want = ndimage.affine_transform(
        image[..., channel], by[:, :2], by[:, 2], order=order, mode="grid-constant"
      )
      wrong = np.abs(one[..., channel] - want) > 0.05
      assert wrong.mean() < 0.02  # a place may round to either of two pixels


def test_the_ranges_are_kept():
  key, size = jax.random.key(2), (20, 30)
  turns = random_maps(key, 500, size, rotate=30.0)[:, :, :2]
  np.testing.assert_allclose(turns @ turns.mT, jnp.tile(jnp.eye(2), (500, 1, 1)), atol=1e-5)
  angles = np.degrees(np.arcsin(turns[:, 1, 0]))
  assert -30 <= angles.min() < -28 and 28 < angles.max() <= 30
  areas = np.linalg.det(random_maps(key, 500, size, crop=(0.2, 0.6))[:, :, :2])
  assert 0.19 < areas.min() < 0.25 and 0.55 < areas.max() < 0.61
  corners = jnp.asarray([[0, 0, 1], [19, 29, 1]])
  seen = jnp.einsum("bij,kj->bki", random_maps(key, 500, size, crop=(0.2, 0.6)), corners)
  assert seen.min() > -0.5 and (seen < jnp.asarray(size) - 0.5).all()  # never beyond the image


def test_boxes_enclose_what_they_held():
  segments = np.zeros((64, 24, 30), np.int32)
  boxes = np.zeros((64, 1, 4), np.float32)
  for i in range(64):
    (y0, x0), (h, w) = RNG.integers(0, (16, 20)), RNG.integers(2, 8, 2)
    segments[i, y0 : y0 + h, x0 : x0 + w] = 3
    boxes[i, 0] = x0, y0, x0 + w, y0 + h
  batch = {
    "image": jnp.asarray(40.0 * segments[..., None]),
    "segments": segments,
    "ids": (segments == 3).astype(np.uint16),
    "instances": (segments == 3).astype(np.uint8)[:, None],
    "boxes": boxes,
    "valid": np.ones((64, 1), np.float32),
  }
  maps = random_maps(jax.random.key(3), 64, (24, 30), **everything)
  found = jax.tree.map(np.asarray, warp_batch(batch, maps))
  assert found["segments"].dtype == np.int32 and set(np.unique(found["segments"])) == {0, 3, 255}
  np.testing.assert_array_equal(found["segments"] == 3, found["instances"][:, 0] == 1)
  np.testing.assert_array_equal(found["segments"] == 3, found["ids"] == 1)
  inside = 0
  for segment, (box,), (valid,) in zip(found["segments"], found["boxes"], found["valid"]):
    rows, columns = np.nonzero(segment == 3)
    if len(rows):
      x0, y0, x1, y1 = box
      assert valid and x0 <= columns.min() + 0.51 and columns.max() + 0.49 <= x1
      assert y0 <= rows.min() + 0.51 and rows.max() + 0.49 <= y1
      inside += 1
  assert inside > 50
  assert (found["boxes"] >= 0).all() and (found["boxes"] <= [30, 24, 30, 24]).all()


def test_a_box_that_has_left_is_not_valid():
  away = still[:1].at[:, 1, 2].set(100.0)
  batch = {
    "image": IMAGES[:1],
    "boxes": jnp.asarray([[[1.0, 1, 5, 5]]]),
    "valid": jnp.ones((1, 1)),
  }
  assert warp_batch(batch, away)["valid"].tolist() == [[0]]
  assert move_boxes(batch["boxes"], still[:1], (12, 12)).tolist() == [[[1, 1, 5, 5]]]


def test_a_volume_moves_slice_by_slice():
  volume = jnp.stack([IMAGES, 2 * IMAGES, 3 * IMAGES], 1)
  segments = RNG.integers(0, 9, (6, 3, 12, 12)).astype(np.uint8)
  maps = random_maps(jax.random.key(4), 6, (12, 12), **everything)
  found = warp_batch({"image": volume, "segments": segments}, maps)
  for i in range(3):
    want = warp_batch({"image": (i + 1) * IMAGES, "segments": segments[:, i]}, maps)
    np.testing.assert_allclose(found["image"][:, i], want["image"], rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(found["segments"][:, i], want["segments"])


def test_what_comes_from_outside_has_no_class():
  step = still[:1].at[:, 0, 2].set(2.0)  # looks two rows further down
  segments = RNG.integers(0, 9, (1, 12, 12)).astype(np.uint8)
  found = warp_batch({"image": IMAGES[:1], "segments": segments}, step)["segments"]
  np.testing.assert_array_equal(found[:, :-2], segments[:, 2:])
  assert found.dtype == np.uint8 and (np.asarray(found[:, -2:]) == 255).all()
