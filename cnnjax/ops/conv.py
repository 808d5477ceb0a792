"""Convolution of any number of spatial dimensions, channels last.

GPU and TPU use XLA's own convolution. The CPU uses the form that `choose` names: one of ours, which
is exact too, where XLA's is slow (docs/lab-book.md has the measurements).
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
  narrow,
  onednn,
  patches,
  pointwise,
  volume,
  winograd,
)
from cnnjax.ops.cpu.barrier import barrier
from cnnjax.ops.geometry import Geometry, plain

Sizes = int | Sequence[int]
Padding = str | int | Sequence[int | tuple[int, int]]

FORMS = {  # in the order in which `choose` tries them
  "onednn": onednn,
  "volume": volume,
  "pointwise": pointwise,
  "depthwise": depthwise,
  "grouped": grouped,
  "patches": patches,
  "winograd": winograd,
  "columns": columns,
  "narrow": narrow,
  "direct": direct,
  "plain": direct,
}
DTYPES = {  # the types that a form computes in; a form not listed here computes in any
  "winograd": (jnp.float32, jnp.float64),  # its sums need the precision
  "onednn": (jnp.float32,),
}


def each(sizes: Sizes, dimensions: int) -> tuple[int, ...]:
  """Returns one size for each spatial dimension: 2 -> (2, 2)."""
  return (sizes,) * dimensions if isinstance(sizes, int) else tuple(sizes)


def pads(padding: Padding, dimensions: int) -> str | tuple[tuple[int, int], ...]:
  """Returns (before, after) for each spatial dimension, 1 -> ((1, 1), (1, 1)), or a string."""
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
  give floor((n - k + p + s) / s) output pixels (course/002, "Stride").

  `form` is how the CPU computes it: "auto" for the choice of `choose`, or a name of `FORMS`. With
  "plain" it is XLA's own operation on every platform, which has forward-mode derivatives too.

  Raises: UserError for another form, or one that cannot compute such a convolution.
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
  """Returns x padded or cut until the rest of the padding is from 0 to less than a window's length.

  The returned geometry has that rest. Else the input gradient would be a convolution of negative
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
  """Returns the name of the form that the CPU uses: the first that fits and pays."""
  if len(x_shape) not in (4, 5):
    return "plain"
  convolution = x_shape, kernel_shape, geometry
  for name in FORMS:
    if _computes(name, *convolution, dtype) and FORMS[name].pays(*convolution):
      return name
  raise AssertionError("the form direct fits every convolution")


def _computes(name, x_shape, kernel_shape, geometry, dtype):
  """Whether a form can compute such a convolution in this type."""
  typed = dtype in DTYPES.get(name, (dtype,))
  return typed and FORMS[name].fits(x_shape, kernel_shape, geometry)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _formed(x, kernel, geometry, form):
  return convolved(x, kernel, geometry, form)


@partial(jax.jit, static_argnums=(2, 3))
def convolved(x: jax.Array, kernel: jax.Array, geometry: Geometry, form: str) -> jax.Array:
  """Returns the convolution; it and its gradients are jitted, so that equal layers trace once."""

  def cpu(x, kernel):
    return lax.optimization_barrier(FORMS[form].forward(x, kernel, geometry))

  with jax.named_scope("conv_forward"):
    return lax.platform_dependent(x, kernel, cpu=cpu, default=partial(plain, geometry=geometry))


@partial(jax.jit, static_argnums=(2, 3, 4))
def input_gradient(
  gradient: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], geometry: Geometry, form: str
) -> jax.Array:
  """Returns the gradient with respect to x [B, *space, C] from that with respect to the result."""

  def by(form, gradient, kernel):
    return form.input_gradient(gradient, kernel, x_shape, geometry)

  with jax.named_scope("conv_input_gradient"):
    cpu, default = partial(by, FORMS[form]), partial(by, direct)
    return lax.platform_dependent(gradient, kernel, cpu=cpu, default=default)


@partial(jax.jit, static_argnums=(2, 3, 4))
def kernel_gradient(
  x: jax.Array, gradient: jax.Array, kernel_shape: tuple[int, ...], geometry: Geometry, form: str
) -> jax.Array:
  """Returns the gradient with respect to the kernel [*window, C/groups, D]."""

  def by(form, x, gradient):
    return form.kernel_gradient(x, gradient, kernel_shape, geometry)

  with jax.named_scope("conv_kernel_gradient"):
    cpu, default = partial(by, FORMS[form]), partial(by, direct)
    return lax.platform_dependent(x, gradient, cpu=cpu, default=default)


def _forward(x, kernel, geometry, form):
  return _formed(x, kernel, geometry, form), (x, kernel)


def _backward(geometry, form, kept, gradient):
  (x, kernel), gradient = kept, barrier(gradient)
  return (
    input_gradient(gradient, kernel, x.shape, geometry, form),
    kernel_gradient(x, gradient, kernel.shape, geometry, form),
  )


_formed.defvjp(_forward, _backward)
