"""How deep a network is, counted from its trace."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import Literal

from cnnjax.layers import SqueezeExcite
from cnnjax.models import zoo
from cnnjax.models.bypass import bypass

_LEARNT = "learnt layer"


def depth(name: str, **arguments: Any) -> int:
  """Returns the number of learnt layers on the longest path from the image to the logits.

  Layers that multiply count: convolutions, dense layers, trainable subsampling; norms and pools do
  not. The gates of squeeze and excitation are left out, as in the names of the networks.

  Args:
    name: of the zoo.
    **arguments: of `create_model`.

  Raises: UserError for an unknown name.
  """
  model = zoo.create_model(name, **arguments)

  def logits(x):
    return model.init_with_output(jax.random.key(0), x, train=False)[0]["logits"]

  with bypass(lambda module: isinstance(module, SqueezeExcite)), nn.intercept_methods(_mark):
    closed = jax.make_jaxpr(logits)(jax.ShapeDtypeStruct((1, *zoo.row(name).input), jnp.float32))
  (count,) = _depths(closed.jaxpr, [0])
  return count


def _mark(call, args, kwargs, context):
  """Marks the output of a layer that multiplies by a name, however it is computed."""
  y, layer = call(*args, **kwargs), context.module
  learnt = context.method_name == "__call__" and hasattr(layer, "multiply_adds")
  if learnt and layer.multiply_adds(args[0].shape, y.shape):
    return checkpoint_name(y, _LEARNT)
  return y


def _depths(jaxpr: Any, inputs: Sequence[int]) -> list[int]:
  """Returns the most marks on a path to each output, given their number before each input."""
  depths = dict.fromkeys(jaxpr.constvars, 0) | dict(zip(jaxpr.invars, inputs))

  def found(atoms):
    return [0 if isinstance(atom, Literal) else depths[atom] for atom in atoms]

  for equation in jaxpr.eqns:
    before, inner = found(equation.invars), equation.params.get("jaxpr")
    inner = inner or equation.params.get("call_jaxpr")
    inner = getattr(inner, "jaxpr", inner)
    if inner and len(inner.invars) == len(before):  # jit, remat, custom derivatives
      after = _depths(inner, before)
    else:
      here = max(before, default=0) + (equation.params.get("name") == _LEARNT)
      after = [here] * len(equation.outvars)
    depths.update(zip(equation.outvars, after))
  return found(jaxpr.outvars)
