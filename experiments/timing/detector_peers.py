"""Our detectors compared with torchvision's: trunk, pyramid and heads, with the same weights.

Matching, non-maximum suppression and RoI operators are left out; `operators` times the last two.
The box head reads the 7x7 windows into which the finest map is divided. The loss is computed from
each output's mean square (`Squares`).
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import cnnjax
from cnnjax.checkpoints.transfer import to_others
from cnnjax.engine import log
from cnnjax.layers import FeaturePyramid, of_strides
from cnnjax.models import zoo
from cnnjax.models.detection.fast_rcnn import BoxHead
from cnnjax.models.detection.faster_rcnn import RPN, FasterRCNN
from cnnjax.models.detection.ssd import SSD
from cnnjax.ops.nms import nms
from cnnjax.ops.roi import roi_pool
from cnnjax.ops.roi_align import pyramid_levels, roi_align

from .peers import FOLDED, own_loop, torch_sides
from .turns import Contestant

SIDES = {"ssd300": 300, "faster_rcnn_fpn": 320}  # of the images; names: those that are timed
CELLS = 7  # side of a window that the box head reads


class SSDHeads(SSD):
  """Images [B, H, W, C] -> {"logits": the mean squares [2] of classes and offsets}."""

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    found = super().__call__(x, train=train)
    return squares(found["logits"], found["offsets"])


class FasterHeads(FasterRCNN):
  """Images [B, H, W, C] -> {"logits": the mean squares [4] of the RPN's and box head's outputs}."""

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    maps = of_strides(self.classifier.make_trunk()(x, train=train), x, self.taken)
    maps = FeaturePyramid(self.pyramid, dtype=self.dtype, name="pyramid")(maps)
    rpn = RPN(len(self.sides[0]) * len(self.ratios), self.dtype, name="rpn")
    said = (jnp.concatenate(parts, 1) for parts in rpn(maps))
    head = BoxHead(self.num_classes, self.hidden, self.dropout, self.dtype, name="head")
    found = head(windows(maps[0]), train=train)
    return squares(*said, found["logits"], found["offsets"])


HEADS = {"ssd300": SSDHeads, "faster_rcnn_fpn": FasterHeads}


def squares(*outputs: jax.Array) -> dict[str, jax.Array]:
  """Returns the mean square of each output."""
  return {"logits": jnp.stack([jnp.square(x).mean() for x in outputs])}


def windows(x: jax.Array) -> jax.Array:
  """Returns the windows [B, K, CELLS, CELLS, C] into which a map [B, H, W, C] is divided."""
  count, *sides, channels = x.shape
  rows, columns = (side // CELLS for side in sides)
  x = x[:, : rows * CELLS, : columns * CELLS]
  x = x.reshape(count, rows, CELLS, columns, CELLS, channels).swapaxes(2, 3)
  return x.reshape(count, rows * columns, CELLS, CELLS, channels)


class Squares:
  """A task with the loss log(1 + the sum of the outputs' mean squares).

  With the sum itself the gradients would grow with the outputs, and training would diverge.
  """

  @staticmethod
  def loss(outputs: dict[str, jax.Array], batch: Any) -> tuple[jax.Array, dict[str, Any]]:
    """Returns the loss and what is logged of it."""
    del batch
    total = jnp.log1p(outputs["logits"].sum())
    return total, {"loss": (total, 1.0)}


def first(name: str, batch_size: int) -> tuple[nn.Module, Any, dict[str, np.ndarray]]:
  """Returns the heads of a detector, its first variables and a batch of noise."""
  model = zoo.create_model(name)
  fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(model) if f.init}
  heads = HEADS[name](**{k: v for k, v in fields.items() if k not in ("name", "parent")})
  shape = (batch_size, SIDES[name], SIDES[name], 3)
  rng = np.random.default_rng(0)
  image = rng.normal(size=shape).astype(np.float32)
  shapes = jax.eval_shape(partial(heads.init, train=False), jax.random.key(0), image)

  def drawn(path, leaf):  # compiling `init` would take longest of all
    if path[-1].key == "kernel":
      deviation = (2 / np.prod(leaf.shape[:-1])) ** 0.5
      return rng.normal(0, deviation, leaf.shape).astype(np.float32)
    return np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32)

  return heads, jax.tree_util.tree_map_with_path(drawn, shapes), {"image": image}


def torchvision_heads(name: str, variables: Any) -> Any:
  """Returns torchvision's module of a detector's heads with our variables."""
  import torch

  from .reference import torchvision

  of = torchvision.models.detection
  make = {"ssd300": of.ssd300_vgg16, "faster_rcnn_fpn": of.fasterrcnn_resnet50_fpn}[name]
  net = make(weights=None, weights_backbone=None)
  tensors = to_others(zoo.create_model(name), variables)
  net.load_state_dict({key: torch.tensor(value) for key, value in tensors.items()})

  def ssd(x):
    found = net.head(list(net.backbone(x).values()))
    return found["cls_logits"], found["bbox_regression"]

  def faster(x):
    maps = list(net.backbone(x).values())
    flat = lambda parts: torch.cat([p.permute(0, 2, 3, 1).flatten(1) for p in parts], 1)  # noqa: E731
    said = [flat(parts) for parts in net.rpn.head(maps)]
    cut = maps[0].unfold(2, CELLS, CELLS).unfold(3, CELLS, CELLS)  # [B, C, rows, columns, 7, 7]
    cut = cut.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    kinds, moves = net.roi_heads.box_predictor(net.roi_heads.box_head(cut))
    return *said, kinds, moves.unflatten(1, (-1, 4))[:, 1:]  # ours has no offsets of the background

  class Heads(torch.nn.Module):
    def __init__(self):
      super().__init__()
      self.net = net

    def forward(self, x):
      answer = ssd if name == "ssd300" else faster
      return torch.stack([out.square().mean() for out in answer(x)])

  return Heads()


def line_up(name: str, peers: Sequence[str], batch_size: int, train: bool) -> dict[str, Contestant]:
  """Returns the contestants for a detector, all with the same weights and batch."""
  heads, variables, batch = first(name, batch_size)
  found = {"cnnjax": own_loop(heads.apply, variables, batch, Squares, train, cnnjax.jit)}
  if FOLDED in peers and not train and "batch_stats" in variables:
    served, lighter = cnnjax.fold(heads, variables, batch["image"])
    found[FOLDED] = own_loop(served.apply, lighter, batch, Squares, train, cnnjax.jit)
  make = partial(torchvision_heads, name, variables)
  return found | torch_sides(make, peers, batch, train, lambda found, _: found.sum().log1p())


def operators(rounds: int) -> dict[str, Any]:
  """Prints and returns the milliseconds of NMS, and of RoI operators on 1,000 regions."""
  rng = np.random.default_rng(0)
  low = rng.uniform(0, 700, (10_000, 2))
  boxes = np.concatenate([low, low + rng.uniform(8, 200, (10_000, 2))], 1).astype(np.float32)
  scores = rng.random(10_000, np.float32)
  sides = [800 // stride for stride in (4, 8, 16, 32)]
  maps = [rng.normal(size=(1, side, side, 256)).astype(np.float32) for side in sides]
  regions, scales = boxes[None, :1000], [1 / stride for stride in (4, 8, 16, 32)]
  few = partial(nms, threshold=0.7, places=1000)
  levels = pyramid_levels(jnp.asarray(regions), 2, 5)
  size = (CELLS, CELLS)
  ours = {
    "nms of 1,000": (few, boxes[:1000], scores[:1000]),
    "nms of 10,000": (few, boxes, scores),
    "RoI align of 1,000, four maps": (
      partial(roi_align, size=size, scales=scales, levels=levels),
      maps,
      regions,
    ),
    "RoI max pooling of 1,000": (partial(roi_pool, size=size, scale=1 / 16), maps[2], regions),
  }
  times = {
    what: _milliseconds(cnnjax.jit(call), given, rounds) for what, (call, *given) in ours.items()
  }
  log.grid("operators", {what: {"ms": f"{spent:.1f}"} for what, spent in times.items()})
  return {"operators": times}


def _milliseconds(call: Callable, given: Sequence[Any], rounds: int) -> float:
  given = jax.device_put(given)
  jax.block_until_ready(call(*given))
  spent = []
  for _ in range(rounds):
    start = time.perf_counter()
    jax.block_until_ready(call(*given))
    spent.append(1e3 * (time.perf_counter() - start))
  return float(np.median(spent))
