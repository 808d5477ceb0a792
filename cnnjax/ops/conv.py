"""Convolution of any number of spatial dimensions, channels last.

GPU and TPU take XLA's own. The CPU takes the form that `choose` names: an exact one of ours where
XLA's is slow (docs/performance.md has the measurements).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.errors import UserError, unknown
from cnnjax.ops.cpu import (
  columns,
  depthwise,
  direct,
  grouped,
  onednn,
  patches,
  pointwise,
  volume,
  winograd,
)
from cnnjax.ops.geometry import Geometry, plain

Sizes = int | Sequence[int]
Padding = str | int | Sequence[int | tuple[int, int]]

FORMS = {  # in the order in which they are asked whether they compute it, and whether that pays
  "volume": volume,
  "onednn": onednn,
  "pointwise": pointwise,
  "depthwise": depthwise,
  "grouped": grouped,
  "patches": patches,
  "winograd": winograd,
  "columns": columns,
  "direct": direct,
  "plain": direct,
}
EXACT = {  # the types in which a form computes; others in any
  "winograd": (jnp.float32, jnp.float64),  # its sums need the digits
  "onednn": (jnp.float32,),
}


def each(sizes: Sizes, dimensions: int) -> tuple[int, ...]:
  """Returns one size for each spatial dimension: 2 -> (2, 2)."""
  return (sizes,) * dimensions if isinstance(sizes, int) else tuple(sizes)


def pads(padding: Padding, dimensions: int) -> str | tuple[tuple[int, int], ...]:
  """Returns (before, after) for each spatial dimension: 1 -> ((1, 1), (1, 1)); strings stay."""
  if isinstance(padding, str):
    return padding.upper()
  return tuple((p, p) if isinstance(p, int) else tuple(p) for p in each(padding, dimensions))


def conv(
  x: jax.Array,
  kernel: jax.Array,
  *,
  strides: Sizes = 1,
  padding: Padding = 0,
  dilation: Sizes = 1,
  groups: int = 1,
  form: str = "auto",
) -> jax.Array:
  """Cross-correlates x [B, *space, C] with kernel [*window, C/groups, D] to [B, *space', D].

  With p the zeros added to a dimension of size n, a window of k (dilated: d(k-1)+1) and stride s
  leave floor((n - k + p + s) / s) places (course/002, "Stride").

  `form` is how the CPU computes it: "auto" as `choose` says, or a name of `FORMS`. With "plain" it
  is XLA's own operation on every platform, which has forward-mode derivatives too.

  Raises: UserError for another form, or one that does not compute such a convolution.
  """
  n = x.ndim - 2
  strides, dilation, padding = each(strides, n), each(dilation, n), pads(padding, n)
  if isinstance(padding, str):
    window = [d * (k - 1) + 1 for k, d in zip(kernel.shape, dilation)]
    padding = tuple(lax.padtype_to_pads(x.shape[1:-1], window, strides, padding))
  geometry = Geometry(strides, padding, dilation, groups)
  if form != "plain":
    x, geometry = within_reach(x, kernel.shape, geometry)
  if form == "auto":
    form = choose(x.shape, kernel.shape, geometry, x.dtype)
  elif form not in FORMS:
    raise unknown("form of a convolution", form, ["auto", *FORMS])
  elif not _computes(form, x.shape, kernel.shape, geometry, x.dtype):
    raise UserError(
      f"the form {form} does not compute a convolution of {x.dtype} {x.shape} with "
      f"{kernel.shape}, {geometry}"
    )
  if form == "plain":
    return plain(x, kernel, geometry)
  return _formed(x, kernel, geometry, form)


def within_reach(
  x: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry
) -> tuple[jax.Array, Geometry]:
  """Returns x with the zeros around it that no window shares with a pixel, and what is left to add.

  What is cut off (a negative padding) is cut off too. Else the way back would have a negative
  padding, with which XLA's CPU convolution reads beyond its input (openxla/xla#48713).
  """
  inner = [
    tuple(min(max(n, 0), d * (k - 1)) for n in pair)
    for pair, k, d in zip(geometry.padding, kernel_shape, geometry.dilation)
  ]
  outer = [(a - c, b - d, 0) for (a, b), (c, d) in zip(geometry.padding, inner)]
  if any(a or b for a, b, _ in outer):
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *outer, (0, 0, 0)])
  return x, geometry._replace(padding=tuple(inner))


def choose(
  x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry, dtype: Any
) -> str:
  """Returns the name of the form that the CPU takes: the first that can and pays."""
  if len(x_shape) not in (4, 5):
    return "plain"
  asked = x_shape, kernel_shape, geometry
  for name in FORMS:
    if _computes(name, *asked, dtype) and FORMS[name].pays(*asked):
      return name
  raise AssertionError("the last form takes all")


def _computes(name, x_shape, kernel_shape, geometry, dtype):
  """Whether a form computes such a convolution in a type."""
  typed = dtype in EXACT.get(name, (dtype,))
  return typed and FORMS[name].fits(x_shape, kernel_shape, geometry)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _formed(x, kernel, geometry, form):
  return _computed(x, kernel, geometry, form)


@partial(jax.jit, static_argnums=(2, 3))
def _computed(x, kernel, geometry, form):  # a function of its own: equal layers are traced once
  def cpu(x, kernel):
    return lax.optimization_barrier(FORMS[form].forward(x, kernel, geometry))

  with jax.named_scope("conv_forward"):
    return lax.platform_dependent(x, kernel, cpu=cpu, default=partial(plain, geometry=geometry))


def _forward(x, kernel, geometry, form):
  return _formed(x, kernel, geometry, form), (x, kernel)


def _backward(geometry, form, kept, slope):
  return _gradients(*kept, slope, geometry, form)


@partial(jax.jit, static_argnums=(3, 4))
def _gradients(x, kernel, slope, geometry, form):
  ours = FORMS[form]

  def cpu_input(kernel, slope):
    return ours.input_gradient(slope, kernel, x.shape, geometry)

  def cpu_kernel(x, slope):
    return ours.kernel_gradient(x, slope, kernel.shape, geometry)

  def xla_input(kernel, slope):
    return direct.input_gradient(slope, kernel, x.shape, geometry)

  def xla_kernel(x, slope):
    return direct.kernel_gradient(x, slope, kernel.shape, geometry)

  slope = lax.platform_dependent(slope, cpu=lax.optimization_barrier, default=lambda slope: slope)
  with jax.named_scope("conv_input_gradient"):
    to_x = lax.platform_dependent(kernel, slope, cpu=cpu_input, default=xla_input)
  with jax.named_scope("conv_kernel_gradient"):
    to_kernel = lax.platform_dependent(x, slope, cpu=cpu_kernel, default=xla_kernel)
  return to_x, to_kernel


_formed.defvjp(_forward, _backward)
