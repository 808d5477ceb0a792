"""Our networks with stock Flax's arithmetic: each layer computes what that of flax.linen does."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from cnnjax.layers import BatchNorm, Conv, Dense, MaxPool
from cnnjax.ops.conv import conv, each, pads


def stock(model: nn.Module) -> Callable:
  """Returns `model.apply` with stock convolutions, dense layers, batch norms and max pooling.

  It takes our variables. Only the running variance differs, which Flax does not correct by
  n/(n-1).
  """

  def apply(*arguments: Any, **options: Any) -> Any:
    with nn.intercept_methods(_replace):
      return model.apply(*arguments, **options)

  return apply


def _replace(own, arguments, options, context):
  layers = {Conv: _conv, Dense: _dense, BatchNorm: _batch_norm, MaxPool: _max_pool}
  theirs = layers.get(type(context.module))
  if theirs is None or context.method_name != "__call__":
    return own(*arguments, **options)
  return theirs(context.module, *arguments, **options)


def _conv(layer, x):
  """Computes what nn.Conv does: lax.conv_general_dilated and an addition of the bias."""
  kernel = layer.get_variable("params", "kernel")
  places = dict(strides=layer.strides, padding=layer.padding, dilation=layer.dilation)
  y = conv(x, kernel, groups=layer.groups, form="plain", **places)
  return y + layer.get_variable("params", "bias") if layer.use_bias else y


def _dense(layer, x):
  """Computes what nn.Dense does: a matrix product and an addition of the bias."""
  y = x @ layer.get_variable("params", "kernel")
  return y + layer.get_variable("params", "bias") if layer.use_bias else y


def _batch_norm(layer, x, *, train, residual=None, activation=None):
  """Computes what nn.BatchNorm does by default: variance is E[x^2] - E[x]^2."""
  scale, bias = (layer.get_variable("params", name) for name in ("scale", "bias"))
  mean, var = (layer.get_variable("batch_stats", name) for name in ("mean", "var"))
  if train:
    axes, keep = tuple(range(x.ndim - 1)), layer.momentum
    now = x.mean(axes)
    spread = jnp.maximum(0.0, jnp.square(x).mean(axes) - jnp.square(now))
    layer.put_variable("batch_stats", "mean", keep * mean + (1 - keep) * now)
    layer.put_variable("batch_stats", "var", keep * var + (1 - keep) * spread)
    mean, var = now, spread
  y = (x - mean) * (lax.rsqrt(var + layer.epsilon) * scale) + bias
  y = y if residual is None else y + residual
  return activation(y) if activation else y


def _max_pool(layer, x):
  """Computes what nn.max_pool does: lax.reduce_window."""
  n = x.ndim - 2
  window, around = each(layer.window, n), pads(layer.padding, n)
  strides = window if layer.strides is None else each(layer.strides, n)
  if layer.ceil:  # padding for the last window
    sizes = zip(x.shape[1:-1], window, strides, around)
    around = [(a, b + (k - size - a - b) % s) for size, k, s, (a, b) in sizes]
  return nn.max_pool(x, window, strides, around)
