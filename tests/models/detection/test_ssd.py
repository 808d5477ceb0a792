"""SSD: default boxes, targets, hard negatives and detections by the paper and plain loops."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.models.detection.ssd import WEIGHTS, encode, hardest
from cnnjax.ops.boxes import decode, iou
from tests.models.detection import scene
from tests.ops import brute_boxes as plain

SMALL = dict(
  trunk="resnet20_cifar", trunk_arguments={"n": 1}, taken=(4,), extra=((8, 16, 3, 2, 1),),
  places=5, num_classes=3,
)  # fmt: skip


def shapes(model, size):
  x = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
  return jax.eval_shape(partial(model.apply, train=False), variables, x)


@pytest.mark.parametrize("name, size, boxes", [("ssd300", 300, 8732), ("ssd512", 512, 24564)])
def test_the_papers_number_of_boxes(name, size, boxes):
  outputs = shapes(cnnjax.create_model(name, num_classes=20), (size, size))
  assert outputs["logits"].shape == (2, boxes, 21)  # sections 3 and 3.5
  assert outputs["offsets"].shape == (2, boxes, 4) and outputs["references"].shape == (boxes, 4)


def test_any_trunk_at_any_size():
  outputs = shapes(cnnjax.create_model("ssd", **SMALL), (40, 64))
  assert outputs["logits"].shape == (2, 6 * (10 * 16 + 5 * 8), 4)
  with pytest.raises(UserError, match=r"strides \[1, 2, 4\].*none of 8"):
    shapes(cnnjax.create_model("ssd", **{**SMALL, "taken": (8,)}), (40, 64))
  with pytest.raises(UserError, match="mlp has no trunk"):
    cnnjax.create_model("ssd", trunk="mlp")


def test_decode_inverts_encode():
  references = plain.random(0, 300)
  boxes, labels = plain.random(1, 6), np.arange(6) % 3
  valid = np.float32([1, 1, 0, 1, 1, 0])
  kind, offsets = encode(references, boxes, labels, valid, 0.5)
  back = np.asarray(decode(offsets, references, WEIGHTS))
  overlap = np.asarray(iou(boxes, references)) * valid[:, None]
  for m in np.flatnonzero(np.asarray(kind)):
    truth = np.abs(boxes - back[m]).max(1).argmin()
    np.testing.assert_allclose(back[m], boxes[truth], atol=0.01)
    assert valid[truth] and kind[m] == labels[truth] + 1
    assert overlap[truth, m] >= 0.5 or overlap[truth].max() == overlap[truth, m]
  assert (np.asarray(kind) > 0).sum() >= 4  # each true box has one at least
  assert not encode(references, boxes, labels, 0 * valid, 0.5)[0].any()


def test_hard_negatives_are_the_largest_losses():
  rng = np.random.default_rng(0)
  loss, positive = rng.permutation(40).reshape(2, 20).astype(np.float32), rng.random((2, 20)) < 0.2
  taken = np.asarray(hardest(loss, positive, 3.0))
  for n in range(2):
    negatives = [i for i in np.argsort(-loss[n]) if not positive[n, i]]
    assert sorted(negatives[: 3 * positive[n].sum()]) == np.flatnonzero(taken[n]).tolist()


def test_it_learns_and_detects():
  model, x = cnnjax.create_model("ssd", **SMALL), scene.batch()
  variables, logs = scene.learn(model, x, 80)
  assert set(logs[0]) == {"loss", "class_loss", "box_loss"}
  assert all(row["loss"] == pytest.approx(row["class_loss"] + row["box_loss"]) for row in logs)
  assert logs[-1]["loss"] < 0.2 * logs[0]["loss"]
  found = scene.detections(model, variables, x)
  assert (found["labels"][: scene.LAST, 0] == [0, 1, 2]).all() and found["valid"][
    : scene.LAST, 0
  ].all()
  for n in range(scene.LAST):
    assert iou(found["boxes"][n, :1], x["boxes"][n, :1])[0, 0] > 0.5
  assert (np.diff(found["scores"]) <= 0).all() and found["scores"].shape == (4, 5)
  assert found["scores"][: scene.LAST, 0].min() > found["scores"][scene.LAST, 0]
