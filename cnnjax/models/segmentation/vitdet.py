"""ViTDet's plain vision transformer: attention in windows, and here and there over the whole map.

Li, Mao, Girshick, He, "Exploring plain vision transformer backbones for object detection",
arXiv:2203.16527, section 3; with the relative positions of arXiv:2112.01526. It is the image
encoder of Segment Anything.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.layers import MLP, Conv, LayerNorm, MapAttention

EPSILON = 1e-6  # of the norms


class Block(nn.Module):
  """x [B, H, W, C] -> x + attention, then x + an MLP of 4 C channels.

  Attributes:
    heads: of the attention.
    window: side of the windows in which it attends; 0 for the whole map.
  """

  heads: int
  window: int = 0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    norm = LayerNorm(EPSILON, self.dtype, name="norm1")
    attention = MapAttention(self.heads, self.dtype, name="attention")
    y = _windows(norm(x), self.window) if self.window else norm(x)
    y = attention(y)
    x = x + (_joined(y, self.window, x.shape) if self.window else y)
    y = LayerNorm(EPSILON, self.dtype, name="norm2")(x)
    return x + MLP((4 * x.shape[-1], x.shape[-1]), dtype=self.dtype, name="mlp")(y)


def _windows(x, side):
  """Cuts x [B, H, W, C], filled up with zeros, into windows [B n, side, side, C]."""
  rows, columns = (-(-n // side) for n in x.shape[1:3])
  rest = (rows * side - x.shape[1], columns * side - x.shape[2])
  x = jnp.pad(x, [(0, 0), (0, rest[0]), (0, rest[1]), (0, 0)])
  x = x.reshape(len(x), rows, side, columns, side, -1).swapaxes(2, 3)
  return x.reshape(-1, side, side, x.shape[-1])


def _joined(x, side, shape):
  """The inverse: windows [B n, side, side, C] -> [B, H, W, C]."""
  rows, columns = (-(-n // side) for n in shape[1:3])
  x = x.reshape(-1, rows, columns, side, side, x.shape[-1]).swapaxes(2, 3)
  x = x.reshape(-1, rows * side, columns * side, x.shape[-1])
  return x[:, : shape[1], : shape[2]]


class Trunk(nn.Module):
  """Images -> stage1 .. stage4, a vision transformer's maps, all with the patch as their stride.

  Each stage ends with a block of global attention; the others attend in windows.
  """

  width: int
  depth: int
  heads: int
  stages: int = 4
  window: int = 14
  patch: int = 16
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    del train
    if self.stages < 1 or self.depth % self.stages:
      raise UserError(f"{self.depth} blocks cannot be split into {self.stages} equal stages")
    x = Conv(self.width, self.patch, self.patch, dtype=self.dtype, name="patch")(x)
    x = AddPositions(self.patch, self.dtype, name="position")(x)
    maps, each = {}, self.depth // self.stages
    for n in range(1, self.depth + 1):
      window = self.window if n % each else 0
      x = Block(self.heads, window, self.dtype, name=f"block{n}")(x)
      if not window:
        maps[f"stage{n // each}"] = x
    return maps


class AddPositions(nn.Module):
  """x [B, H, W, C] plus what was learnt for each place, for maps of one size."""

  patch: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    if self.has_variable("params", "embedding"):
      made, found = self.get_variable("params", "embedding").shape[1:3], x.shape[1:3]
      if made != found:
        wanted, given = ("x".join(str(n * self.patch) for n in size) for size in (made, found))
        raise UserError(f"these variables are for images of {wanted} pixels, found {given}")
    table = self.param("embedding", nn.initializers.zeros, (1, *x.shape[1:]))
    return x + table.astype(self.dtype)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0: it only adds."""
    return 0
