"""A model as a table: layer, output shape, parameters, multiply-adds, activation memory."""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.models import zoo


class LayerRow(NamedTuple):
  """One layer, for one example."""

  layer: str
  kind: str
  output: tuple[int, ...]
  parameters: int
  multiply_adds: int
  activation_bytes: int


class Summary(NamedTuple):
  """The rows of a model and their sums; printing it prints the table."""

  title: str
  rows: list[LayerRow]

  @property
  def parameters(self) -> int:
    """The number of learnt values in all layers."""
    return sum(r.parameters for r in self.rows)

  @property
  def multiply_adds(self) -> int:
    """Of the forward pass for one example."""
    return sum(r.multiply_adds for r in self.rows)

  @property
  def activation_bytes(self) -> int:
    """Of all layers' outputs for one example, as kept for the backward pass."""
    return sum(r.activation_bytes for r in self.rows)

  def __str__(self) -> str:
    head = ("layer", "output", "parameters", "multiply-adds", "activations")
    table = [head] + [
      (
        f"{r.layer} ({r.kind})",
        "x".join(map(str, r.output)),
        f"{r.parameters:,}",
        f"{r.multiply_adds:,}",
        _size(r.activation_bytes),
      )
      for r in self.rows
    ]
    sums = f"{self.parameters:,}", f"{self.multiply_adds:,}", _size(self.activation_bytes)
    table.append(("total", "", *sums))
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    lines = [
      "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths)))
      for line in table
    ]
    rule = "-" * len(lines[0])
    body = [self.title, lines[0], rule, *lines[1:-1], rule, lines[-1]]
    return "\n".join(line.rstrip() for line in body)


def summarize(model: str | nn.Module, input: tuple[int, ...] | None = None, **arguments) -> Summary:
  """Returns the summary of a model, given by its name or as a module.

  Args:
    model: a name of the zoo, or a module.
    input: (height, width, channels) of one example; by default the zoo's, or the module's own.
    **arguments: of `create_model`.

  Raises: UserError for an unknown name, or a module that states no input size where none is given.
  """
  title = model if isinstance(model, str) else type(model).__name__
  if isinstance(model, str):
    input = input or zoo.row(model).input
    model = zoo.create_model(model, **arguments)
  preprocessing = getattr(model, "preprocessing", None)
  input = input or (preprocessing and preprocessing.shape)
  if not input:
    raise UserError(f"{title} states no input size; give input=(height, width, channels)")
  x = jax.ShapeDtypeStruct((1, *input), jnp.float32)
  calls, variables = _trace(model, x)
  params = variables.get("params", {})
  rows, seen = [], set()
  for path, module, x_in, y in calls:
    row = LayerRow(
      layer="/".join(path),
      kind=type(module).__name__,
      output=y.shape[1:],
      parameters=0 if path in seen else _count(params, path),  # a layer called twice counts once
      multiply_adds=module.multiply_adds(x_in.shape, y.shape),
      activation_bytes=math.prod(y.shape) * y.dtype.itemsize,
    )
    rows.append(row)
    seen.add(path)
  counted, total = sum(r.parameters for r in rows), _count(params, ())
  if counted != total:
    rows.append(LayerRow("outside of layers", "parameters", (), total - counted, 0, 0))
  return Summary(f"{title}, input {'x'.join(map(str, x.shape[1:]))}", rows)


def _trace(model: nn.Module, x: Any):
  """Returns (path, module, input, output) of each call of a layer, and the variables' shapes."""
  calls = []

  def note(call, args, kwargs, context):
    y = call(*args, **kwargs)
    if context.method_name == "__call__" and hasattr(context.module, "multiply_adds"):
      calls.append((context.module.path, context.module.clone(parent=None), args[0], y))
    return y

  with nn.intercept_methods(note):
    init = jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), x)
  return calls, init


def _count(params: Any, path: tuple[str, ...]) -> int:
  for key in path:
    params = params.get(key, {})
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def _size(count: int) -> str:
  return f"{count / 1024:,.1f} KiB" if count < 2**20 else f"{count / 2**20:,.1f} MiB"
