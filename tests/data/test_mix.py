"""Parts are cut out, images mixed, and targets follow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.data.mix import cut_out, cutmix, mixup

RNG = np.random.default_rng(0)
BATCH = {
  "image": RNG.integers(1, 256, (64, 9, 12, 3), dtype=np.uint8),
  "label": np.arange(64) % 4,
}
NEXT = np.roll(BATCH["image"], 1, 0)
KEY = jax.random.key(0)


def test_a_square_is_cut_out():
  found = np.asarray(cut_out(KEY, BATCH["image"], 4))
  black = (found == 0).all(-1)
  np.testing.assert_array_equal(found[~black], BATCH["image"][~black])
  areas = black.sum((1, 2))
  assert found.dtype == np.uint8 and areas.max() == 16 and areas.min() < 16
  for one in black:
    rows, columns = one.any(1).sum(), one.any(0).sum()
    assert one.sum() == rows * columns and max(rows, columns) <= 4


def test_mixup_mixes_targets_as_images():
  found = mixup(KEY, BATCH, 0.4, 4)
  own, other = np.eye(4)[BATCH["label"]], np.eye(4)[np.roll(BATCH["label"], 1)]
  share = np.asarray((found["target"] * own).sum(1))[:, None]
  np.testing.assert_allclose(found["target"], share * own + (1 - share) * other, atol=1e-6)
  share = share[..., None, None]
  want = share * BATCH["image"] + (1 - share) * NEXT
  np.testing.assert_allclose(found["image"], want, atol=1e-2)
  assert share.min() < 0.1 and share.max() > 0.9  # Beta(0.4, 0.4) leans to both ends


def test_cutmix_mixes_targets_by_area():
  found = jax.tree.map(np.asarray, cutmix(KEY, BATCH, 1.0, 4))
  own = np.eye(4)[BATCH["label"]]
  foreign = (found["image"] == NEXT).all(-1) & (found["image"] != BATCH["image"]).any(-1)
  left = (found["image"] == BATCH["image"]).all(-1)
  assert (foreign | left).all() and found["image"].dtype == np.uint8
  np.testing.assert_allclose((found["target"] * own).sum(1), 1 - foreign.mean((1, 2)), atol=0.01)
  np.testing.assert_allclose(found["target"].sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("operation", [mixup, cutmix])
def test_targets_that_are_there_are_mixed_and_labels_not_asked_for(operation):
  target = RNG.normal(1000, 300, (64, 2)).astype(np.float32)
  given = {"image": BATCH["image"], "target": target, "mask": np.ones(64, np.float32)}
  mixed = operation(KEY, given, 1.0, 2)["target"]
  share = np.asarray(operation(KEY, {**given, "target": np.eye(64)}, 1.0, 2)["target"])
  own = np.diag(share)[:, None]
  want = own * target + (1 - own) * np.roll(target, 1, 0)
  np.testing.assert_allclose(mixed, want, rtol=1e-5)
  assert mixed.dtype == np.float32 and own.min() < 0.3 and own.max() > 0.7


def test_both_in_a_row():
  found = mixup(KEY, cutmix(KEY, BATCH, 1.0, 4), 1.0, 4)
  np.testing.assert_allclose(jnp.sum(found["target"], 1), 1, atol=1e-6)
