"""Fast, Faster and Mask R-CNN: drawn regions, proposals, masks and training, by plain loops."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.models.detection import fast_rcnn, faster_rcnn, mask_rcnn
from cnnjax.models.detection.fast_rcnn import WEIGHTS
from cnnjax.ops.boxes import decode, iou
from tests.models.detection import scene
from tests.ops import brute_boxes as plain

TRUNK = dict(trunk="resnet20_cifar", trunk_arguments={"n": 1}, num_classes=3, places=5)
SMALL = dict(
  **TRUNK, taken=(2, 4), pyramid=16, sides=((8,), (14,), (28,)), hidden=128, proposals=(20, 20),
  candidates=(50, 50), sampled=32, count=16,
)  # fmt: skip


def test_regions_are_drawn_by_their_overlap():
  boxes, labels, valid = plain.random(0, 5), np.int32([0, 1, 2, 0, 1]), np.float32([1, 1, 1, 0, 1])
  near = boxes.repeat(20, 0) + np.random.default_rng(0).normal(0, 12, (100, 4)).astype(np.float32)
  regions, proposed = np.concatenate([near, plain.random(1, 100)]), np.ones(200, np.float32)
  proposed[50:60] = 0
  options = dict(count=24, fraction=0.25, overlap=0.5, least=0.1)
  draw = jax.jit(partial(fast_rcnn.encode, **options))
  found = jax.tree.map(np.asarray, draw(jax.random.key(0), regions, proposed, boxes, labels, valid))
  overlap = np.asarray(iou(found["regions"], boxes)) * valid
  most, nearest = overlap.max(1), overlap.argmax(1)
  objects = found["kind"] > 0
  assert objects.sum() == 6 and objects[:6].all() and found["taken"].all()
  assert (most[objects] >= 0.5).all() and (found["object_index"] == nearest)[objects].all()
  assert (found["kind"][objects] == labels[nearest[objects]] + 1).all()
  assert ((most[~objects] < 0.5) & (most[~objects] >= 0.1)).all()
  back = np.asarray(decode(found["target"], found["regions"], WEIGHTS))
  np.testing.assert_allclose(back[objects], boxes[nearest[objects]], atol=0.01)
  absent = set(map(tuple, regions[50:60].tolist()))
  assert not absent & set(map(tuple, found["regions"].tolist()))


def test_an_image_without_boxes_gives_background_alone():
  none = np.zeros((2, 4), np.float32), np.zeros(2, np.int32), np.zeros(2, np.float32)
  regions = plain.random(1, 30)
  options = dict(count=8, fraction=0.25, overlap=0.5, least=0.0)
  found = fast_rcnn.encode(jax.random.key(0), regions, np.ones(30), *none, **options)
  assert not found["kind"].any() and found["taken"].all()
  assert np.isfinite(found["target"]).all()


def test_proposals_are_those_of_plain_loops():
  rng = np.random.default_rng(0)
  boxes = [plain.random(n, 40) for n in (0, 1)]
  scores = [rng.permutation(40).astype(np.float32) + 100 * n for n in (0, 1)]
  extent = np.float32([100, 120])
  given = dict(before=30, after=25, overlap=0.5)
  found, there = faster_rcnn.propose(scores, boxes, extent, **given)
  clipped, best, level = [], [], []
  for n in (0, 1):
    for m in np.argsort(-scores[n])[:30]:
      box = np.clip(boxes[n][m], 0, [120, 100, 120, 100])
      if (box[2:] - box[:2] >= 1e-3).all():
        clipped, best, level = [*clipped, box], [*best, scores[n][m]], [*level, n]
  kept = plain.nms(np.stack(clipped), best, 0.5, level)[:25]
  assert there.tolist() == [True] * len(kept) + [False] * (25 - len(kept))
  np.testing.assert_allclose(found[: len(kept)], np.stack(clipped)[kept], atol=1e-4)


def test_masks_of_regions():
  ids = np.zeros((1, 20, 20), np.uint16)
  ids[0, 4:12, 4:12], ids[0, 4:8, 4:12] = 2, 1
  regions, index = np.float32([[[4, 4, 12, 12], [4, 4, 12, 12], [0, 0, 20, 20]]]), [[1, 0, 1]]
  cut = np.asarray(mask_rcnn.encode(regions, jnp.asarray(index), {"ids": ids}, 4))
  whole = ids[:, None] == 1 + np.arange(2)[:, None, None]
  same = mask_rcnn.encode(regions, jnp.asarray(index), {"instances": whole}, 4)
  np.testing.assert_allclose(same, cut)
  assert (cut[0, 0, :1] < 0.3).all() and (cut[0, 0, 3:, :3] == 1).all()
  assert (cut[0, 1, 0, :3] == 1).all() and not cut[0, 1, 3].any()
  assert cut[0, 2].sum() < cut[0, 0].sum()


PARTS = {"objectness_loss", "anchor_loss", "class_loss", "box_loss"}


def test_faster_rcnn_on_one_map_learns():
  one = {**SMALL, "taken": (4,), "pyramid": 0, "sides": ((8, 14, 28),)}
  _, logs = scene.learn(cnnjax.create_model("faster_rcnn", **one), scene.batch(), 40, rate=1e-3)
  assert set(logs[0]) == {"loss", *PARTS}
  for row in logs:
    assert row["loss"] == pytest.approx(sum(row[part] for part in PARTS), rel=1e-4)
  assert np.mean([row["loss"] for row in logs[-5:]]) < 0.5 * logs[0]["loss"]


def test_mask_rcnn_on_a_pyramid_learns_and_detects():
  more = dict(mask_size=7, mask_widths=(16,))
  model, x = cnnjax.create_model("mask_rcnn", **SMALL, **more), scene.batch()
  variables, logs = scene.learn(model, x, 100, rate=1e-3)
  assert set(logs[0]) == {"loss", "mask_loss", *PARTS}
  assert np.mean([row["loss"] for row in logs[-5:]]) < 0.3 * logs[0]["loss"]
  assert logs[-1]["mask_loss"] < 0.5 * logs[0]["mask_loss"]
  found = scene.detections(model, variables, x)
  assert (found["labels"][: scene.LAST, 0] == [0, 1, 2]).all() and found["valid"][:3, 0].all()
  for n in range(scene.LAST):
    assert iou(found["boxes"][n, :1], x["boxes"][n, :1])[0, 0] > 0.5
  assert found["masks"].shape == (4, 5, 14, 14)
  assert (found["masks"] >= 0).all() and (found["masks"] <= 1).all()
  assert found["masks"][: scene.LAST, 0, 4:10, 4:10].mean() > 0.6  # squares fill their boxes


def test_fast_rcnn_learns_from_proposals():
  options = dict(taken=4, hidden=128, dropout=0.0, count=16, background=0.0)
  model, x = cnnjax.create_model("fast_rcnn", **TRUNK, **options), scene.batch()
  with pytest.raises(UserError, match="needs proposals beside its images"):
    jax.eval_shape(
      lambda: model.apply(model.init(jax.random.key(0), x["image"], train=False), x, train=False)
    )
  rng = np.random.default_rng(0)
  near = x["boxes"][:, :1] + rng.normal(0, 3, (4, 12, 4)).astype(np.float32)
  x["proposals"] = np.concatenate([near, plain.random(0, 48, 32, 32).reshape(4, 12, 4)], 1)
  x["proposed"] = np.ones((4, 24), np.float32)
  _, logs = scene.learn(model, x, 40, rate=1e-3)
  assert set(logs[0]) == {"loss", "class_loss", "box_loss"}
  assert np.mean([row["loss"] for row in logs[-5:]]) < 0.5 * logs[0]["loss"]


@pytest.mark.parametrize("name", ["fast_rcnn", "faster_rcnn", "faster_rcnn_fpn", "mask_rcnn"])
def test_any_trunk_and_any_size(name):
  model = cnnjax.create_model(name, trunk="mobilenet_v2", num_classes=4)
  x = jax.ShapeDtypeStruct((1, 96, 160, 3), jnp.float32)
  variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
  given = {"image": x}
  if name == "fast_rcnn":
    given["proposals"] = jax.ShapeDtypeStruct((1, 9, 4), jnp.float32)
    given["proposed"] = jax.ShapeDtypeStruct((1, 9), jnp.float32)
  outputs = jax.eval_shape(
    lambda v, x: model.decode(model.apply(v, x, train=False)), variables, given
  )
  assert outputs["boxes"].shape == (1, 100, 4) and outputs["valid"].dtype == bool
