"""Maximum and average pooling of any number of spatial dimensions, channels last.

GPU and TPU use XLA's own operation, the CPU forms of ours where they can compute it.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.ops.conv import Padding, Sizes, each, pads
from cnnjax.ops.cpu import max_pool as cpu_max
from cnnjax.ops.cpu import sum_pool as cpu_sum


def max_pool(
  x: jax.Array,
  window: Sizes,
  strides: Sizes | None = None,
  padding: Padding = 0,
  ceil: bool = False,
) -> jax.Array:
  """Returns the largest value of each window of x [B, *space, C]; strides default to the window.

  With `ceil` there is one more window where the last would not reach the end, as in Caffe.
  """
  if ceil:
    padding = _ceil_padding(x.shape[1:-1], window, strides, padding)
  low = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
  return _pool(x, cpu_max.max_pool, cpu_max.MAX_TAPS, low, lax.max, window, strides, padding)


def avg_pool(
  x: jax.Array,
  window: Sizes,
  strides: Sizes | None = None,
  padding: Padding = 0,
  count_padding: bool = True,
) -> jax.Array:
  """Returns the mean of each window of x [B, *space, C]; strides default to the window.

  The zeros of the padding count as values, as in PyTorch, unless `count_padding` is False. Integers
  are averaged in float32: their own type may be too small for a sum.
  """
  x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)
  total = _pool(x, cpu_sum.sum_pool, cpu_sum.MAX_TAPS, 0.0, lax.add, window, strides, padding)
  if count_padding:
    count = 1
    for size in each(window, x.ndim - 2):
      count *= size
  else:
    count = _reduce(jnp.ones_like(x[:1, ..., :1]), 0.0, lax.add, window, strides, padding)
  return total / count


def adaptive_avg_pool(x: jax.Array, size: Sizes) -> jax.Array:
  """Returns the means of `size` equal regions along each dimension of x [B, *space, C].

  Region i of n over a length L is floor(i L / n) to ceil((i + 1) L / n), as in PyTorch: where n
  does not divide L, neighbours share pixels.
  """
  for axis, parts in enumerate(each(size, x.ndim - 2), 1):
    length = x.shape[axis]
    if length != parts:
      pixel, i = np.arange(length), np.arange(parts)[:, None]
      inside = (pixel >= i * length // parts) & (pixel < -(-(i + 1) * length // parts))
      means = (inside / inside.sum(1, keepdims=True)).astype(x.dtype)
      x = jnp.moveaxis(jnp.tensordot(means, x, (1, axis)), 0, axis)
  return x


def _ceil_padding(space, window, strides, padding):
  """Returns the padding with which the windows reach the end of the input."""
  window, n = each(window, len(space)), len(space)
  strides = window if strides is None else each(strides, n)
  found = []
  for length, k, s, (a, b) in zip(space, window, strides, pads(padding, n)):
    more = (k - length - a - b) % s
    found.append((a, b + more if b + more < k else b))  # else it would hold no pixel
  return tuple(found)


def _pool(x, ours, most, initial, operation, window, strides, padding):
  """Returns x pooled, on the CPU by `ours` for windows of up to `most` taps, else by XLA's own."""
  plain = partial(
    _reduce,
    initial=initial,
    operation=operation,
    window=window,
    strides=strides,
    padding=padding,
  )
  n = x.ndim - 2
  window, around = each(window, n), pads(padding, n)
  integer = not jnp.issubdtype(x.dtype, jnp.floating)
  if integer or n not in (2, 3) or math.prod(window) > most:
    return plain(x)
  strides = window if strides is None else each(strides, n)
  if isinstance(around, str):
    around = tuple(lax.padtype_to_pads(x.shape[1:-1], window, strides, around))
  cpu = partial(ours, window=window, strides=strides, padding=around)
  return lax.platform_dependent(x, cpu=cpu, default=plain)


def _reduce(x, initial, operation, window, strides, padding):
  n = x.ndim - 2
  window = each(window, n)
  strides = window if strides is None else each(strides, n)
  padding = pads(padding, n)
  if not isinstance(padding, str):
    padding = ((0, 0), *padding, (0, 0))
  initial = np.asarray(initial, x.dtype)[()]  # a constant: JAX then knows the operation's gradient
  return lax.reduce_window(x, initial, operation, (1, *window, 1), (1, *strides, 1), padding)
