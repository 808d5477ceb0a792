"""The parts of detectors against torchvision's; RoI max pooling is held against NumPy elsewhere.

Where torchvision's own operators do not load, `experiments.timing.reference` gives `nms` and
`roi_align`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.ops import boxes
from cnnjax.ops.anchors import anchors, default_boxes
from cnnjax.ops.matching import match, match_ssd
from cnnjax.ops.nms import nms
from cnnjax.ops.roi_align import pyramid_levels, roi_align
from tests.ops import brute_boxes as plain

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
reference = pytest.importorskip("experiments.timing.reference", reason="it needs the extra parity")
pytestmark = pytest.mark.parity

TRUTH = np.concatenate([plain.random(0, 20), plain.random(1, 20, whole=True)])
TRUTH = TRUTH[(TRUTH[:, 2:] > TRUTH[:, :2]).all(1)]
OTHERS = np.concatenate([plain.random(2, 150), plain.random(3, 150, whole=True)])
OTHERS = OTHERS[(OTHERS[:, 2:] > OTHERS[:, :2]).all(1)]
T = torch.tensor


@pytest.fixture(scope="module")
def vision():
  return reference.torchvision


def test_boxes(vision):
  ops, coder = vision.ops, vision.models.detection._utils.BoxCoder((10.0, 10.0, 5.0, 5.0))
  np.testing.assert_allclose(boxes.iou(TRUTH, OTHERS), ops.box_iou(T(TRUTH), T(OTHERS)), atol=1e-6)
  np.testing.assert_array_equal(
    boxes.clip(OTHERS, (90, 70)), ops.clip_boxes_to_image(T(OTHERS), (90, 70))
  )
  kept = ops.remove_small_boxes(T(OTHERS), 9.0).tolist()
  assert np.flatnonzero(boxes.large(OTHERS, 9.0)).tolist() == kept
  mine = np.resize(TRUTH, OTHERS.shape)
  want = coder.encode_single(T(mine), T(OTHERS))
  np.testing.assert_allclose(boxes.encode(mine, OTHERS, coder.weights), want, rtol=1e-4, atol=1e-4)
  offsets = np.random.default_rng(0).normal(0, 9, OTHERS.shape).astype(np.float32)
  want = coder.decode_single(T(offsets), T(OTHERS))
  np.testing.assert_allclose(
    boxes.decode(offsets, OTHERS, coder.weights), want, rtol=1e-4, atol=0.01
  )


def images(vision, size):
  return vision.models.detection.image_list.ImageList(torch.zeros(1, 3, *size), [size])


def test_anchors(vision):
  sizes = ((32, 48), (64, 96), (100, 200))
  make = vision.models.detection.anchor_utils.AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 3)
  size, cells = (203, 310), [(25, 38), (12, 19), (3, 5)]
  (want,) = make(images(vision, size), [torch.zeros(1, 1, *c) for c in cells])
  found = np.concatenate([anchors(c, size, s) for c, s in zip(cells, sizes)])
  np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("steps", [None, [8, 16, 32, 64, 100, 300]])
def test_default_boxes(vision, steps):
  ratios, scales = (
    [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
    [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
  )
  make = vision.models.detection.anchor_utils.DefaultBoxGenerator(
    ratios, scales=scales, steps=steps
  )
  cells = [(n, n) for n in (38, 19, 10, 5, 3, 1)]
  (want,) = make(images(vision, (300, 300)), [torch.zeros(1, 1, *c) for c in cells])
  found = default_boxes(cells, (300, 300), scales, ratios, steps)
  np.testing.assert_allclose(found, want, atol=1e-4)


def test_suppression(vision):
  run = jax.jit(nms, static_argnums=(2, 3))
  for seed in range(3):
    rng = np.random.default_rng(seed)
    mine = plain.random(seed, 500, whole=seed == 1)
    scores = rng.integers(0, 50, 500).astype(np.float32) if seed else rng.random(500, np.float32)
    labels = rng.integers(0, 4, 500)
    for classes, theirs in (
      (None, vision.ops.nms(T(mine), T(scores), 0.5)),
      (labels, vision.ops.boxes._batched_nms_vanilla(T(mine), T(scores), T(labels), 0.5)),
    ):
      index, real = run(mine, scores, 0.5, 500, classes)
      found = np.asarray(index)[np.asarray(real)]
      if classes is None:
        np.testing.assert_array_equal(found, theirs)
      assert set(found.tolist()) == set(theirs.tolist())


@pytest.mark.parametrize("samples, aligned", [(2, False), (2, True), (3, False)])
def test_alignment_and_its_gradient(vision, samples, aligned):
  x = np.random.default_rng(0).normal(size=(2, 15, 20, 3)).astype(np.float32)
  each = [plain.random(s, 30) for s in range(2)]
  each = np.clip(np.stack(each), 0, np.float32([152, 112] * 2))  # outside its plain form differs
  theirs = T(np.moveaxis(x, -1, 1).copy()).requires_grad_()
  want = vision.ops.roi_align(theirs, [T(b) for b in each], (7, 5), 1 / 8, samples, aligned)
  options = dict(size=(7, 5), scales=[1 / 8], samples=samples, aligned=aligned)
  found, back = jax.jit(lambda x: jax.vjp(lambda x: roi_align([x], each, **options), x))(x)
  np.testing.assert_allclose(
    found.reshape(60, 7, 5, 3), np.moveaxis(want.detach().numpy(), 1, -1), atol=1e-5
  )
  gradient = np.random.default_rng(1).normal(size=found.shape).astype(np.float32)
  want.backward(T(np.moveaxis(gradient.reshape(60, 7, 5, 3), -1, 1).copy()))
  np.testing.assert_allclose(back(gradient)[0], np.moveaxis(theirs.grad.numpy(), 1, -1), atol=1e-4)


def test_levels_of_a_pyramid(vision):
  mapper = vision.ops.poolers.LevelMapper(2, 5)
  many = np.concatenate([OTHERS * s for s in (0.5, 1, 3, 9)]).astype(np.float32)
  np.testing.assert_array_equal(pyramid_levels(many, 2, 5), mapper([T(many)]))


def test_matching(vision):
  utils = vision.models.detection._utils
  overlap = np.asarray(boxes.iou(TRUTH, OTHERS))
  overlap = overlap[(overlap > 0).any(1)]  # what overlaps nothing matches everything there
  valid = jnp.ones(len(overlap), bool)
  for best in (False, True):
    want = utils.Matcher(0.7, 0.3, allow_low_quality_matches=best)(T(overlap))
    np.testing.assert_array_equal(match(overlap, valid, 0.3, 0.7, best=best), want)
  want = utils.SSDMatcher(0.5)(T(overlap))
  np.testing.assert_array_equal(match_ssd(overlap, valid, 0.5), want)
