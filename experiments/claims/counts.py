"""The number of weights of fully connected layers, and with shared weights (course/001)."""

import math
from typing import Any

import jax

import cnnjax
from cnnjax.layers import Conv, Dense

from .finding import Finding, equal


def dense_counts() -> list[Finding]:
  """Two dense layers of 100 units and one output on images of two sizes: weights without biases."""
  model = cnnjax.create_model("mlp", num_classes=1)
  return [
    equal(f"weights on {w}x{h}x3", deck, leaves(model, (h, w, 3), "kernel", train=False))
    for (w, h), deck in {(640, 480): 92_170_100, (2048, 1536): 943_728_500}.items()
  ]


def shared_counts() -> list[Finding]:
  """The deck's layer from nine nodes to four: as a 2x2 convolution of 3x3, and fully connected."""
  shared, full = (Conv(1, 2), (3, 3, 1)), (Dense(4), (9,))
  return [
    equal("weights, convolution", 4, leaves(*shared, "kernel")),
    equal("parameters, convolution", 5, leaves(*shared)),
    equal("weights, fully connected", 36, leaves(*full, "kernel")),
    equal("parameters, fully connected", 40, leaves(*full)),
  ]


def leaves(module: Any, input: tuple[int, ...], name: str = "", **options: Any) -> int:
  """Returns how many parameters a module has for an example of this shape.

  Args:
    module: a layer or a model.
    input: shape of an example.
    name: if given, only parameters of this name count, such as "kernel".
    **options: arguments of the module's call.
  """
  x = jax.ShapeDtypeStruct((1, *input), "float32")
  params = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, **options), x)["params"]
  found = jax.tree_util.tree_leaves_with_path(params)
  return sum(math.prod(leaf.shape) for path, leaf in found if name in ("", path[-1].key))
