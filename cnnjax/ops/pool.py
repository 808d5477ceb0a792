"""Maximum and average pooling of any number of spatial dimensions, channels last."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.ops.conv import Padding, Sizes, each, pads


def max_pool(
  x: jax.Array, window: Sizes, strides: Sizes | None = None, padding: Padding = 0
) -> jax.Array:
  """Returns the largest value of each window of x [B, *space, C]; strides default to the window."""
  low = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
  return _reduce(x, low, lax.max, window, strides, padding)


def avg_pool(
  x: jax.Array,
  window: Sizes,
  strides: Sizes | None = None,
  padding: Padding = 0,
  count_padding: bool = True,
) -> jax.Array:
  """Returns the mean of each window of x [B, *space, C]; strides default to the window.

  The zeros of the padding count as values, as in PyTorch, unless `count_padding` is False. Whole
  numbers are averaged in float32: their own type may be too small for a sum.
  """
  x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)
  total = _reduce(x, 0.0, lax.add, window, strides, padding)
  if count_padding:
    count = 1
    for size in each(window, x.ndim - 2):
      count *= size
  else:
    count = _reduce(jnp.ones_like(x[:1, ..., :1]), 0.0, lax.add, window, strides, padding)
  return total / count


def _reduce(x, initial, operation, window, strides, padding):
  n = x.ndim - 2
  window = each(window, n)
  strides = window if strides is None else each(strides, n)
  padding = pads(padding, n)
  if not isinstance(padding, str):
    padding = ((0, 0), *padding, (0, 0))
  initial = np.asarray(initial, x.dtype)[()]  # a constant: JAX then knows the operation's gradient
  return lax.reduce_window(x, initial, operation, (1, *window, 1), (1, *strides, 1), padding)
