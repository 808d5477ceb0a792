"""Attention between sets of tokens, and the layers that stand around it."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.layers.conv import Dense
from cnnjax.layers.heads import wide
from cnnjax.layers.norm import EPSILON

GELU = partial(nn.gelu, approximate=False)  # by the error function, as PyTorch's


class LayerNorm(nn.Module):
  """x [..., C] normalised over its channels (arXiv:1607.06450).

  Attributes:
    epsilon: added to the variance.
    dtype: of the result; statistics are computed in float32 or wider.
  """

  epsilon: float = EPSILON
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
    bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
    off = wide(x)
    off = off - off.mean(-1, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(off).mean(-1, keepdims=True) + self.epsilon)
    return (off * inverse * scale + bias).astype(self.dtype)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0, as for the other norms."""
    return 0


class Embedding(nn.Module):
  """Indices [...] -> the rows of a learnt table [count, features] at them, [..., features]."""

  count: int
  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, index: jax.Array) -> jax.Array:
    init = nn.initializers.normal(1.0)  # as PyTorch's
    table = self.param("embedding", init, (self.count, self.features))
    return jnp.asarray(table, self.dtype)[index]

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0: it only reads."""
    return 0


class MLP(nn.Module):
  """x [..., C] -> [..., widths[-1]] by dense layers `fc1`, `fc2` .., an activation between two."""

  widths: Sequence[int]
  activation: Callable[[jax.Array], jax.Array] = GELU
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    for n, width in enumerate(self.widths, 1):
      x = self.activation(x) if n > 1 else x
      x = Dense(width, dtype=self.dtype, name=f"fc{n}")(x)
    return x


class Attend(nn.Module):
  """Keys, queries, values -> [B, N, heads, d], means of the values, as the keys answer the queries.

  The weights are softmax(q k / sqrt(d) + bias) over the M keys (arXiv:1706.03762, equation 1).
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self,
    keys: jax.Array,
    queries: jax.Array,
    values: jax.Array,
    *,
    real: jax.Array | None = None,
    bias: jax.Array | None = None,
  ) -> jax.Array:
    """Returns the means.

    Args:
      keys: [B, M, heads, d].
      queries: [B, N, heads, d].
      values: [B, M, heads, d].
      real: [B, M], which keys there are; all by default, and at least one.
      bias: [B, heads, N, M].
    """
    scale = keys.shape[-1] ** -0.5
    scores = wide(jnp.einsum("bqnd,bknd->bnqk", queries * scale, keys))
    scores = scores if bias is None else scores + bias
    scores = scores if real is None else jnp.where(real[:, None, None], scores, -jnp.inf)
    weights = jax.nn.softmax(scores).astype(self.dtype)
    return jnp.einsum("bnqk,bknd->bqnd", weights, values)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns those of both products, from keys to means of these shapes."""
    return 2 * x[1] * math.prod(y)


class Attention(nn.Module):
  """Queries [B, N, C] from keys and values [B, M, C] -> [B, N, C], by several heads.

  Attributes:
    heads: number of them.
    width: channels of all heads together; 0 for C.
  """

  heads: int
  width: int = 0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, queries: jax.Array, keys: jax.Array, values: jax.Array, real: jax.Array | None = None
  ) -> jax.Array:
    """Returns what the queries read of the values; `real` [B, M] says which keys there are."""
    features = queries.shape[-1]

    def read(x, name):
      x = Dense(self.width or features, dtype=self.dtype, name=name)(x)
      return split(x, self.heads)

    given = read(keys, "key"), read(queries, "query"), read(values, "value")
    y = Attend(self.dtype, name="attend")(*given, real=real)
    return Dense(features, dtype=self.dtype, name="out")(y.reshape(*y.shape[:2], -1))


def split(x: jax.Array, heads: int) -> jax.Array:
  """Returns x [..., C] as [..., heads, C / heads]. Raises: UserError where C is no multiple."""
  if heads < 1 or x.shape[-1] % heads:
    raise UserError(f"{x.shape[-1]} channels cannot be split among {heads} heads of attention")
  return x.reshape(*x.shape[:-1], heads, -1)


class RelativePositions(nn.Module):
  """Queries x [B, S, T, heads, d] -> the bias [B, heads, S, T, S] of keys along the first axis.

  It is x[i] times row i - j of a learnt table, for a key at j (arXiv:2112.01526, equation 4).
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    side = x.shape[1]
    table = self.param("embedding", nn.initializers.zeros, (2 * side - 1, x.shape[-1]))
    apart = jnp.arange(side)[:, None] - jnp.arange(side) + side - 1
    return jnp.einsum("bstnd,skd->bnstk", x, jnp.asarray(table, self.dtype)[apart])

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns the multiply-adds from an input to an output of these shapes."""
    return x[-1] * math.prod(y)


class MapAttention(nn.Module):
  """Self-attention of the pixels of a map [B, H, W, C], with their relative positions.

  The bias of a key is one for its row and one for its column (arXiv:2112.01526, section 4.1). The
  tables of positions are made for maps of one size.
  """

  heads: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    options, (height, width, features) = dict(dtype=self.dtype), x.shape[1:]
    qkv = Dense(3 * features, name="qkv", **options)(x)
    q, k, v = (split(part, self.heads) for part in jnp.split(qkv, 3, -1))
    rows = RelativePositions(name="height", **options)(q)
    columns = RelativePositions(name="width", **options)(q.swapaxes(1, 2)).swapaxes(2, 3)
    bias = rows[..., None] + columns[..., None, :]  # [B, heads, H, W, H, W]
    bias = bias.reshape(*bias.shape[:2], height * width, height * width)
    flat = (part.reshape(len(x), height * width, *part.shape[3:]) for part in (k, q, v))
    y = Attend(name="attend", **options)(*flat, bias=bias)
    return Dense(features, name="out", **options)(y.reshape(x.shape))
