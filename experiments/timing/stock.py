"""Our networks with stock Flax's layers: each layer is computed by that of flax.linen."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from cnnjax.layers import BatchNorm, Conv, Dense, MaxPool
from cnnjax.ops.conv import each, pads


def stock(model: nn.Module) -> Callable:
  """Returns `model.apply` with stock convolutions, dense layers, batch norms and max pooling.

  It takes our variables, and computes in the layers' own types. Only the running variance differs,
  which Flax does not correct by n/(n-1).
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
  theirs = nn.Conv(
    layer.features,
    each(layer.kernel_size, x.ndim - 2),
    strides=layer.strides,
    padding=pads(layer.padding, x.ndim - 2),
    kernel_dilation=layer.dilation,
    feature_group_count=layer.groups,
    use_bias=layer.use_bias,
    dtype=layer.dtype,
  )
  return theirs.apply({"params": layer.variables["params"]}, x)


def _dense(layer, x):
  theirs = nn.Dense(layer.features, use_bias=layer.use_bias, dtype=layer.dtype)
  return theirs.apply({"params": layer.variables["params"]}, x)


def _batch_norm(layer, x, *, train, residual=None, activation=None):
  theirs = nn.BatchNorm(
    use_running_average=not train,
    momentum=layer.momentum,
    epsilon=layer.epsilon,
    use_scale=layer.use_scale,
    dtype=layer.dtype,
  )
  y, changed = theirs.apply(dict(layer.variables), x, mutable=["batch_stats"])
  for name, value in changed["batch_stats"].items() if train else ():
    layer.put_variable("batch_stats", name, value)
  y = y if residual is None else y + residual
  return activation(y) if activation else y


def _max_pool(layer, x):
  n = x.ndim - 2
  window, around = each(layer.window, n), pads(layer.padding, n)
  strides = window if layer.strides is None else each(layer.strides, n)
  if layer.ceil:  # padding for the last window
    sizes = zip(x.shape[1:-1], window, strides, around)
    around = [(a, b + (k - size - a - b) % s) for size, k, s, (a, b) in sizes]
  return nn.max_pool(x, window, strides, around)
