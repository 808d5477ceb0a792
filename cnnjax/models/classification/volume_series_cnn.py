"""A network of series of volumes: a 3-D network sees each volume, a temporal one what it has seen.

The volumes go through the trunk of any classifier of volumes, whose weights they share, as if they
were examples of their own. Of its last map a coarse grid is left, so that what two regions do stays
apart, and the grid's cells are the channels of a series, which the fully convolutional network for
time series reads (arXiv:1611.06455). Its first layer can add the courses of two regions, at a lag;
its ReLU makes the mean over time of such a sum depend on their correlation. Networks of functional
MRI that work on space and time together are compared in arXiv:2004.10165.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.layers import AdaptiveAvgPool, LinearHead
from cnnjax.models.classification import series_cnn
from cnnjax.ops.volume_series import VolumeSeriesPreprocessing

GRID = (2, 2, 2)


class VolumeSeriesCNN(nn.Module):
  """Series of volumes [B, T, D, H, W, C] of any length and size -> {"logits": [B, num_classes]}.

  Attributes:
    classifier: of volumes, whose trunk sees each volume.
    grid: cells (depth, height, width) of a volume that time is looked at in.
    blocks: channels and window of each temporal convolution.
  """

  classifier: nn.Module
  grid: tuple[int, int, int] = GRID
  blocks: tuple[tuple[int, int], ...] = series_cnn.BLOCKS
  num_classes: int = 2
  dtype: Any = jnp.float32
  preprocessing: VolumeSeriesPreprocessing = VolumeSeriesPreprocessing()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    if x.ndim != 6:
      raise UserError(
        "volume_series_cnn needs series of volumes, [B, T, D, H, W, C], found an array of shape "
        f"{x.shape}"
      )
    maps = self.classifier.make_trunk()(x.reshape(-1, *x.shape[2:]), train=train)
    cells = AdaptiveAvgPool(self.grid, name="grid")(list(maps.values())[-1])
    courses = cells.reshape(*x.shape[:2], -1)
    maps = series_cnn.Trunk(self.blocks, self.dtype, name="time")(courses, train=train)
    head = LinearHead(self.num_classes, dtype=self.dtype, name="head")
    return {"logits": head(list(maps.values())[-1], train=train)}
