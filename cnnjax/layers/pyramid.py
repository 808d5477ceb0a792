"""The feature maps of several strides that a detector reads from a trunk."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.layers.conv import Conv


def of_strides(
  maps: Mapping[str, jax.Array], image: jax.Array, strides: tuple[int, ...]
) -> list[jax.Array]:
  """Returns a trunk's deepest map [B, H/s, W/s, C] of each stride s, in pixels of the image.

  Strides are powers of two. A map may have a cell more or less than H/s where s does not divide H.

  Raises: UserError for a stride that the trunk does not have.
  """
  height = image.shape[1]
  found = {2 ** round(math.log2(height / m.shape[1])): m for m in maps.values() if m.ndim == 4}
  for stride in strides:
    if stride not in found:
      raise UserError(
        f"the trunk has maps of strides {sorted(found)} at {height}x{image.shape[2]} "
        f"pixels, none of {stride}"
      )
  return [found[stride] for stride in strides]


class FeaturePyramid(nn.Module):
  """Maps [B, H, W, C], each half the size of the one before -> maps of `features` channels.

  To each map the smaller ones are added, upsampled, and one map more is every second pixel of the
  last (arXiv:1612.03144, section 3).
  """

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array]) -> list[jax.Array]:
    options = dict(
      dtype=self.dtype, kernel_init=nn.initializers.variance_scaling(1, "fan_in", "uniform")
    )
    found, above = [], None
    for n, x in reversed(list(enumerate(maps, 1))):
      x = Conv(self.features, 1, name=f"lateral{n}", **options)(x)
      above = x if above is None else x + _upsample(above, x)
      found.insert(0, Conv(self.features, 3, padding=1, name=f"output{n}", **options)(above))
    return [*found, found[-1][:, ::2, ::2]]


def _upsample(x: jax.Array, other: jax.Array) -> jax.Array:
  """Returns x [B, h, w, C] with each value repeated, to the size of other [B, H, W, C]."""
  for axis in (1, 2):
    have, want = x.shape[axis], other.shape[axis]
    x = jnp.take(x, jnp.arange(want) * have // want, axis)
  return x
