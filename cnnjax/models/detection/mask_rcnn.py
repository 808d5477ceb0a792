"""Mask R-CNN: Faster R-CNN that also predicts a mask of each object.

He, Gkioxari, Dollar, Girshick, "Mask R-CNN", arXiv:1703.06870.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from cnnjax.layers import KAIMING, Conv, ConvTranspose, wide
from cnnjax.models.detection.fast_rcnn import Arrays
from cnnjax.models.detection.faster_rcnn import FasterRCNN
from cnnjax.ops import losses
from cnnjax.ops.roi_align import roi_align


def encode(regions: jax.Array, object_index: jax.Array, truth: Arrays, side: int) -> jax.Array:
  """Returns the target masks [B, K, side, side], from 0 to 1, of regions [B, K, 4].

  Args:
    regions: in pixels of the image.
    object_index: [B, K] of the true object of each region.
    truth: `instances` [B, N, H, W], or `ids` [B, H, W]: k + 1 at the pixels of object k.
    side: of a mask, in pixels.
  """
  if "instances" in truth:
    whole = jnp.take_along_axis(truth["instances"], object_index[..., None, None], 1)
  else:
    whole = truth["ids"][:, None] == 1 + object_index[..., None, None]
  flat = whole.reshape(-1, *whole.shape[2:], 1).astype(jnp.float32)
  cut = roi_align([flat], regions.reshape(-1, 1, 4), (side, side), [1.0], aligned=True)
  return cut.reshape(*object_index.shape, side, side)


class MaskHead(nn.Module):
  """Features [B, K, s, s, C] of regions -> mask logits [B, K, 2s, 2s, num_classes] (figure 4)."""

  num_classes: int
  widths: Sequence[int]
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    lead, options = x.shape[:2], dict(dtype=self.dtype, kernel_init=KAIMING)
    x = x.reshape(-1, *x.shape[2:])
    for n, width in enumerate(self.widths, 1):
      x = nn.relu(Conv(width, 3, padding=1, name=f"conv{n}", **options)(x))
    width = self.widths[-1]
    x = nn.relu(ConvTranspose(width, 2, 2, kernel_init=KAIMING, dtype=self.dtype, name="up")(x))
    x = Conv(1 + self.num_classes, 1, name="logits", **options)(x)
    return wide(x).reshape(*lead, *x.shape[1:])[..., 1:]


class MaskRCNN(FasterRCNN):
  """Images [B, H, W, C] -> the outputs of Faster R-CNN, and masks [B, K, s, s].

  In training the masks are of the regions drawn as objects, else of the detections.

  Attributes:
    mask_size: half of s, the side that a region is pooled to for its mask.
    mask_widths: channels of the convolutions.
  """

  mask_size: int = 14
  mask_widths: Sequence[int] = (256, 256, 256, 256)

  @nn.compact
  def __call__(self, x: Any, *, train: bool) -> Arrays:
    x = x if isinstance(x, dict) else {"image": x}
    outputs, maps = self.detect(x, train)
    if train:
      objects = int(self.count * self.fraction)  # which come first
      regions, labels = outputs["regions"][:, :objects], outputs["kind"][:, :objects] - 1
      object_index = outputs["object_index"][:, :objects]
      outputs["mask_target"] = encode(regions, object_index, x, 2 * self.mask_size)
    else:
      outputs["found"] = FasterRCNN.decode(self, outputs)
      regions, labels = outputs["found"]["boxes"], outputs["found"]["labels"]
    features = self.read(maps, regions, self.mask_size)
    masks = MaskHead(self.num_classes, self.mask_widths, self.dtype, name="mask_head")(features)
    own = jnp.maximum(labels, 0)[..., None, None, None]
    outputs["masks"] = jnp.take_along_axis(masks, own, -1)[..., 0]
    return outputs

  @nn.nowrap
  def loss(
    self, outputs: Arrays, truth: Arrays, counts: Mapping[str, jax.Array] | None = None
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Returns Faster R-CNN's loss and that of the masks (section 3)."""
    total, logs = FasterRCNN.loss(self, outputs, truth, counts)
    each = optax.sigmoid_binary_cross_entropy(outputs["masks"], outputs["mask_target"])
    is_object = outputs["kind"][:, : each.shape[1]] > 0
    part = {"mask_loss": (jnp.where(is_object, each.mean((2, 3)), 0).sum(), is_object.sum())}
    total = total + losses.total(part, counts)
    return total, {**logs, "loss": (total, 1.0), **part}

  @nn.nowrap
  def decode(self, outputs: Arrays) -> Arrays:
    """Returns an image's detections as Faster R-CNN does, and masks [B, K, s, s] from 0 to 1.

    A mask covers its box; `metrics.masks.paste` pastes it into the image.
    """
    return {**outputs["found"], "masks": jax.nn.sigmoid(outputs["masks"])}
