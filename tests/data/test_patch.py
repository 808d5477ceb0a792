"""SSD's patches: what they may be, and what becomes of the boxes in them."""

from functools import partial

import jax
import numpy as np
import pytest

from cnnjax.data import patch
from cnnjax.data.augment import augment

RNG = np.random.default_rng(0)
WHOLE = [0, 0, 1, 1]
KEYS = jax.random.split(jax.random.key(0), 400)


def drawn(boxes, valid):
  """Returns 400 patches for an image's boxes."""
  return np.asarray(jax.jit(jax.vmap(patch.patch, (0, None, None)))(KEYS, boxes, valid))


def changed(seed, batch, **options):
  """Returns the batch after `augment`."""
  return jax.tree.map(np.asarray, jax.jit(partial(augment, **options))(jax.random.key(seed), batch))


def overlap(a, b):
  low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
  both = np.prod(np.maximum(high - low, 0))
  return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


BOXES = np.float32(
  [[0.1, 0.2, 0.5, 0.7], [0.8, 0.8, 0.85, 0.9], [0.3, 0.3, 0.3, 0.3], [0, 0, 1, 1]]
)
VALID = np.float32([1, 1, 1, 0])


@pytest.mark.parametrize("least", [0.1, 0.5, 0.9])
def test_a_patch_overlaps_a_box_by_the_least_or_is_the_whole(least, monkeypatch):
  monkeypatch.setattr(patch, "OVERLAPS", (least,))
  patches = drawn(BOXES, VALID)
  whole = (patches == WHOLE).all(1)
  assert whole.mean() > 0.4  # the other rule
  if least < 0.9:  # which hardly any of fifty meets
    assert whole.mean() < 0.6
  for one in patches[~whole].astype(np.float64):
    assert max(overlap(one, box) for box in BOXES[:2].astype(np.float64)) > least - 1e-5


def test_patches_have_the_sides_of_the_paper():
  patches = drawn(BOXES, 0 * VALID)  # where no box is there, only the rule without a least holds
  patches = patches[(patches != WHOLE).any(1)]
  assert 400 / 7 - 25 < len(patches) < 400 / 7 + 25
  assert (patches >= 0).all() and (patches <= 1 + 1e-6).all()
  wide, high = (patches[:, 2:] - patches[:, :2]).T
  assert 0.09 - 1e-5 < (wide * high).min() < 0.2 and 0.7 < (wide * high).max() <= 1
  assert 0.5 - 1e-4 < (wide / high).min() < 0.65 and 1.5 < (wide / high).max() < 2 + 1e-4


def scenes(count):
  """Returns a batch of images with three boxes each, and a number at the pixels of each."""
  boxes, ids = np.zeros((count, 4, 4), np.float32), np.zeros((count, 40, 48), np.uint16)
  for n in range(count):
    for k, column in enumerate((0, 16, 32)):
      y, x, high, wide = RNG.integers(0, 30), column + RNG.integers(0, 5), *RNG.integers(5, 11, 2)
      ids[n, y : y + high, x : x + wide] = k + 1
      boxes[n, k] = x, y, x + wide, min(y + high, 40)
  valid = np.tile(np.float32([1, 1, 1, 0]), (count, 1))
  image = np.float32(60 * ids[..., None])
  return {"image": image, "ids": ids, "boxes": boxes, "valid": valid}


def test_a_box_stays_where_its_centre_is_seen():
  batch = scenes(100)
  still = np.tile(np.eye(2, 3, dtype=np.float32), (100, 1, 1))
  cropped, maps = jax.tree.map(np.asarray, jax.jit(patch.ssd_crop)(jax.random.key(1), batch, still))
  scale, offset = maps[:, [0, 1], [0, 1]], maps[:, :, 2]
  low = offset + 0.5 - scale / 2  # (row, column) of the first pixel's corner
  high = low + scale * [40, 48]
  assert (low > -1e-4).all() and (high < [40.001, 48.001]).all()
  centre = (batch["boxes"][..., :2] + batch["boxes"][..., 2:])[..., ::-1] / 2
  inside = ((centre > low[:, None]) & (centre < high[:, None])).all(-1)
  np.testing.assert_array_equal(cropped["valid"], inside * batch["valid"])
  left = inside[:, :3].mean()
  assert 0.3 < left < 0.95


@pytest.mark.parametrize("options", [{"ssd_crop": True}, {"zoom_out": 3.0}, None])
def test_boxes_hold_their_pixels(options):
  batch = scenes(60)
  options = options or {"ssd_crop": True, "zoom_out": 3.0}
  found = changed(2, batch, **options)
  assert found["ids"].dtype == np.uint16 and (found["boxes"] != batch["boxes"]).any()
  held = 0
  for ids, boxes, valid in zip(found["ids"], found["boxes"], found["valid"]):
    for k in np.flatnonzero(valid):
      rows, columns = np.nonzero(ids == k + 1)
      if len(rows):
        seen = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        np.testing.assert_allclose(boxes[k], seen, atol=1.01)
        held += 1
  assert held > 60 and not found["valid"][:, 3].any()


def test_a_larger_canvas_is_of_the_mean_colour_and_loses_no_box():
  image = np.broadcast_to(RNG.uniform(0, 255, (64, 1, 1, 3)), (64, 24, 32, 3)).astype(np.float32)
  boxes = np.tile(np.float32([8, 6, 16, 12]), (64, 1, 1))
  batch = {"image": image, "boxes": boxes, "valid": np.ones((64, 1), np.float32)}
  found = changed(3, batch, zoom_out=4.0)
  np.testing.assert_allclose(found["image"], image, atol=1e-3)
  sides = found["boxes"][:, 0, 2:] - found["boxes"][:, 0, :2]
  ratio = [8, 6] / sides
  np.testing.assert_allclose(ratio[:, 0], ratio[:, 1], rtol=1e-4)
  assert 20 < np.isclose(ratio[:, 0], 1).sum() < 44  # half of 64
  assert 3 < ratio.max() < 4.001 and ratio.min() > 0.999 and found["valid"].all()


def test_images_without_boxes_are_cropped_too():
  image = np.tile(np.arange(24, dtype=np.float32)[:, None, None], (64, 1, 32, 1))
  found = changed(4, {"image": image}, ssd_crop=True)["image"]
  moved = (np.abs(found - image) > 1e-3).any((1, 2, 3))
  assert 2 < moved.sum() < 20  # a seventh of 64
