"""Detectors against torchvision's: the same random weights and images give the same detections."""

from dataclasses import replace

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
pytestmark = pytest.mark.parity
reference = pytest.importorskip("experiments.timing.reference", reason="it needs the extra parity")

import cnnjax  # noqa: E402
from cnnjax.checkpoints import files  # noqa: E402
from cnnjax.checkpoints.port import rcnn  # noqa: E402
from cnnjax.checkpoints.transfer import to_others  # noqa: E402
from cnnjax.data.frame import linear  # noqa: E402
from cnnjax.metrics.masks import paste  # noqa: E402
from cnnjax.models.weights import epsilon  # noqa: E402

THEIRS = {
  "ssd300": ("ssd300_vgg16", (5e-4, 1e-4)),
  "faster_rcnn_fpn": ("fasterrcnn_resnet50_fpn", (0.05, 0.02)),
  "mask_rcnn": ("maskrcnn_resnet50_fpn", (0.05, 0.02)),
}  # and the deviations of class and box heads, with which scores are neither 0 nor 1
# What images are resized to, to be quick: 116x154 in a frame of 128x160. So no sample of a region
# falls off its map, where torchvision's Python, here in its kernel's place, forgets to read a 0.
SIDE, LONGEST = 116, 192


def theirs(name):
  """Returns torchvision's network with random weights and statistics, small images asked for."""
  torch.manual_seed(0)
  make, (classes, boxes) = THEIRS[name]
  net = getattr(reference.torchvision.models.detection, make)(weights=None, weights_backbone=None)
  for key, value in net.named_parameters():
    if any(part in key for part in ("cls_", "classification_head")):
      torch.nn.init.normal_(value, 0, classes)
    elif any(part in key for part in ("bbox_pred", "regression_head")):
      torch.nn.init.normal_(value, 0, boxes)
    elif "fpn" in key and value.ndim == 4:
      torch.nn.init.kaiming_normal_(value, nonlinearity="linear")
    elif value.ndim == 4 and "mask_fcn_logits" not in key:
      torch.nn.init.kaiming_normal_(value)
  for module in net.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
      torch.nn.init.uniform_(module.weight, 0.5, 1.0)
      torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
  if name != "ssd300":
    net.transform.min_size, net.transform.max_size = (SIDE,), LONGEST
  return net.eval()


def photographs():
  from sklearn.datasets import load_sample_images

  first, second = (image.astype(np.float32) / 255 for image in load_sample_images().images)
  return [first[:150, :200], second[100:250, 200:400]]  # one shape, to compile once


@pytest.mark.parametrize("name", THEIRS)
def test_detections(monkeypatch, name):
  net, images = theirs(name), photographs()
  with torch.no_grad():
    want = [net([torch.tensor(image).permute(2, 0, 1)])[0] for image in images]
  tensors = {key: value.numpy().copy() for key, value in net.state_dict().items()}
  monkeypatch.setattr(files, "fetch", lambda source: source)
  monkeypatch.setattr(files, "read", lambda path: tensors)
  variables = cnnjax.load_pretrained(name, "file")
  model = cnnjax.create_model(name)
  if name != "ssd300":
    model = model.clone(preprocessing=replace(model.preprocessing, resize=SIDE, longest=LONGEST))
  answers = cnnjax.predict(model, variables, images)
  for theirs_, ours in zip(want, answers):
    labels, scores = theirs_["labels"].numpy(), theirs_["scores"].numpy()
    assert len(labels) == len(ours["labels"]) > 20 and 0.05 < np.median(scores) < 0.99999
    assert (np.diff(ours["scores"]) <= 0).all()
    same = labels[:, None] == np.asarray(ours["labels"]) + 1  # theirs count the background
    apart = np.abs(theirs_["boxes"].numpy()[:, None] - np.asarray(ours["boxes"])).max(-1)
    apart = np.where(same, apart, np.inf)
    order, found = apart.argmin(1), apart.min(1) < 0.02  # pixels; equal scores may change places
    assert found.mean() > 0.95  # where an overlap is the threshold's but for rounding, one goes
    assert len(set(order[found])) == found.sum()
    order = order[found]
    np.testing.assert_allclose(np.asarray(ours["scores"])[order], scores[found], atol=1e-3)
    if "masks" in theirs_:
      both = theirs_["masks"].numpy()[found, 0] > 0.5, ours["masks"][order]
      union = (both[0] | both[1]).sum((1, 2))
      assert union.max() > 100
      assert ((both[0] & both[1]).sum((1, 2)) >= 0.99 * union).all()


def test_the_published_names_and_epsilon(tmp_path):
  """What torchvision published in 2019 has other names, and is used with an epsilon of 0."""
  model = cnnjax.create_model("mask_rcnn", weights="COCO_V1")
  x = jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)
  shapes = jax.eval_shape(lambda k, x: model.init(k, x, train=False), jax.random.key(0), x)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda s: rng.random(s.shape, np.float32), shapes)
  now, then = (to_others(model, variables, naming) for naming in rcnn.names(model))
  net = reference.torchvision.models.detection.maskrcnn_resnet50_fpn(
    weights=None, weights_backbone=None
  )
  assert now.keys() == net.state_dict().keys()
  net.load_state_dict({key: torch.tensor(value) for key, value in now.items()})
  path = tmp_path / "mine.pth"
  torch.save({key: torch.tensor(value) for key, value in then.items()}, path)
  loaded = cnnjax.load_pretrained("mask_rcnn", path, weights="COCO_V1")
  assert jax.tree.all(jax.tree.map(np.array_equal, loaded["params"], variables["params"]))
  same = jax.tree_util.tree_map_with_path(
    lambda at, found, want: np.allclose(
      found, want - (1e-5 if at[-1].key == "var" else 0), rtol=0, atol=1e-7
    ),
    loaded["batch_stats"],
    variables["batch_stats"],
  )
  assert jax.tree.all(same)
  mine = cnnjax.load_pretrained("mask_rcnn", path)
  assert jax.tree.all(jax.tree.map(np.array_equal, mine, variables))
  assert epsilon("mask_rcnn", "there/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth") == 0


@pytest.mark.parametrize("size", [(40, 90), (17, 23), (31, 50)])
def test_linear_resizing(size):
  image = np.random.default_rng(0).random((31, 50, 3), np.float32)
  first = torch.tensor(image).permute(2, 0, 1)[None]
  want = torch.nn.functional.interpolate(first, size=size, mode="bilinear", align_corners=False)
  np.testing.assert_allclose(linear(image, size), want[0].permute(1, 2, 0), atol=1e-5)


def test_masks_pasted():
  from torchvision.models.detection.roi_heads import paste_masks_in_image

  rng = np.random.default_rng(0)
  masks = rng.random((30, 28, 28), np.float32)
  low = rng.uniform(-9, 70, (30, 2))  # some reach out of the image
  boxes = np.concatenate([low, low + rng.uniform(10, 60, (30, 2))], 1).astype(np.float32)
  want = paste_masks_in_image(torch.tensor(masks)[:, None], torch.tensor(boxes), (80, 90))
  want = want.numpy()[:, 0]
  found, sure = paste(masks, boxes, (80, 90)), np.abs(want - 0.5) > 1e-4
  assert (found == (want > 0.5))[sure].all() and sure.mean() > 0.99 and found.any()
