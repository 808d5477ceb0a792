"""Batch norms folded into the convolutions before them, for serving.

In evaluation a batch norm is a factor and an offset for each channel, which the kernel and the bias
of the layer before it can absorb (arXiv:1712.05877, section 3.2).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import Jaxpr, Var

from cnnjax.errors import UserError
from cnnjax.layers import BatchNorm, Conv, Dense

_MARK = "layer "  # before a path, so that no compiled function has the same name


@dataclass(frozen=True)
class Folded:
  """A model without the batch norms of these paths; its other attributes are the model's."""

  model: nn.Module
  norms: frozenset[str]

  def apply(self, variables: Any, *arguments: Any, train: bool, **options: Any) -> Any:
    """Returns the model's outputs in evaluation, from the variables that `fold` returned.

    Raises: UserError for training, and for variables that still hold those of a folded norm.
    """
    if train:
      raise UserError("a folded network cannot train; train the one that it was folded from")
    with nn.intercept_methods(self._replace):
      return self.model.apply(variables, *arguments, train=False, **options)

  def __getattr__(self, name: str) -> Any:
    if name == "model":  # not yet set while `copy` builds an instance
      raise AttributeError(name)
    return getattr(self.model, name)

  def _replace(self, call, args, kwargs, context):
    layer, where = context.module, "/".join(context.module.path)
    if context.method_name == "__call__" and where in self.norms:
      if layer.has_variable("params", "bias"):
        raise UserError(f"{where} was folded, but is among the variables; give those of `fold`")
      return _without_norm(layer, *args, **kwargs)
    y = call(*args, **kwargs)
    if context.method_name == "__call__" and isinstance(layer, (Conv, Dense)):
      bias = None if layer.use_bias else layer.get_variable("params", "bias")
      return y if bias is None else y + bias.astype(y.dtype)
    return y


def fold(model: nn.Module, variables: Any, x: Any = None) -> tuple[Any, Any]:
  """Returns (model, variables) with the same outputs, and with batch norms folded where possible.

  In float32 outputs are the same within rounding. A norm is folded where its only input is the
  output of one convolution or dense layer that nothing else reads; so all are in ResNets, SENets,
  MobileNets, GoogLeNet and VGG. In DenseNet, whose norms come before the convolutions, the stem's
  is and the second one of each layer that is not rematerialised; the others stay. Without any, both
  are returned as they are. The returned model evaluates (`apply` with train=False,
  `cnnjax.predict`), but does not train.

  Args:
    model: any module with the contract of the zoo's.
    variables: of the model; they are not changed.
    x: an example of its input or its shapes; by default one image as its preprocessing makes it.

  Raises: UserError for a model whose preprocessing leaves the size open, where x is not given.
  """
  if x is None:
    preprocessing = getattr(model, "preprocessing", None)
    if not (preprocessing and preprocessing.shape):
      raise UserError(f"{type(model).__name__} states no input size; give an example of its input")
    x = jax.ShapeDtypeStruct((1, *preprocessing.shape), jnp.float32)
  found = _pairs(model, variables, x)
  flat = flatten_dict(variables, sep="/")
  for norm, (layer, epsilon) in found.items():
    scale, offset = flat.pop(f"params/{norm}/scale", 1.0), flat.pop(f"params/{norm}/bias")
    mean, var = (flat.pop(f"batch_stats/{norm}/{leaf}") for leaf in ("mean", "var"))
    kernel, bias = f"params/{layer}/kernel", f"params/{layer}/bias"
    factor = _float64(scale) / np.sqrt(_float64(var) + epsilon)
    before = _float64(flat[bias]) if bias in flat else 0.0
    flat[bias] = _like(_float64(offset) + (before - _float64(mean)) * factor, offset)
    flat[kernel] = _like(_float64(flat[kernel]) * factor, flat[kernel])
  if not found:
    return model, variables
  return Folded(model, frozenset(found)), unflatten_dict(flat, sep="/")


def _pairs(model: nn.Module, variables: Any, x: Any) -> dict[str, tuple[str, float]]:
  """Returns {norm: (the layer that it folds into, its epsilon)}, by their paths."""
  epsilons: dict[str, float] = {}

  def mark(call, args, kwargs, context):
    layer, where = context.module, "/".join(context.module.path)
    if context.method_name != "__call__":
      return call(*args, **kwargs)
    if isinstance(layer, BatchNorm):
      epsilons[where] = layer.epsilon
      return call(checkpoint_name(args[0], _MARK + where), *args[1:], **kwargs)
    y = call(*args, **kwargs)
    return checkpoint_name(y, _MARK + where) if isinstance(layer, (Conv, Dense)) else y

  def marked(variables, x):
    with nn.intercept_methods(mark):
      return model.apply(variables, x, train=False)

  # What each norm reads, and who reads each layer's output.
  read, readers = defaultdict(set), defaultdict(set)
  for jaxpr in _jaxprs(jax.make_jaxpr(marked)(variables, x).jaxpr):
    names = {e.outvars[0]: name for e in jaxpr.eqns if (name := _marked(e))}
    uses = [(var, _marked(e)) for e in jaxpr.eqns for var in e.invars if isinstance(var, Var)]
    uses += [(var, None) for var in jaxpr.outvars if isinstance(var, Var)]
    for var, reader in uses:
      read[reader].add(names.get(var))
      readers[names.get(var)].add(reader)
  return {
    norm: (layer, epsilon)
    for norm, epsilon in epsilons.items()
    for layer in read[norm]
    if layer and read[norm] == {layer} and readers[layer] == {norm}
  }


def _jaxprs(jaxpr: Jaxpr) -> Iterator[Jaxpr]:
  """Yields a jaxpr and all jaxprs in it."""
  yield jaxpr
  for inner in jax.tree.leaves([e.params for e in jaxpr.eqns]):
    inner = getattr(inner, "jaxpr", inner)
    if isinstance(inner, Jaxpr):
      yield from _jaxprs(inner)


def _marked(equation: Any) -> str | None:
  """Returns the path of the layer that an equation marks, if it marks one."""
  name = equation.params.get("name")
  marks = isinstance(name, str) and name.startswith(_MARK)
  return name.removeprefix(_MARK) if marks else None


def _without_norm(layer, x, *, train, residual=None, activation=None):
  """Returns what a batch norm does besides normalising: the residual sum and the activation."""
  del train
  y = x if residual is None else x + residual
  return (activation(y) if activation else y).astype(layer.dtype)


def _float64(leaf: Any) -> np.ndarray:
  return np.asarray(leaf, np.float64)


def _like(value: np.ndarray, leaf: Any) -> jax.Array:
  """Returns a value with the type and the sharding of a leaf."""
  return jax.device_put(value.astype(leaf.dtype), getattr(leaf, "sharding", None))
