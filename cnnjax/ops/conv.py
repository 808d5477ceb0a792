"""Convolution of any number of spatial dimensions, channels last.

GPU and TPU take XLA's own. The CPU takes the form that `_form` names: an exact one of ours where
XLA's is slow (docs/performance.md has the measurements).
"""

from collections.abc import Sequence
from functools import partial
from types import ModuleType

import jax
from jax import lax

from cnnjax.errors import unknown
from cnnjax.ops.cpu import depthwise, pointwise
from cnnjax.ops.geometry import Geometry, plain

Sizes = int | Sequence[int]
Padding = str | int | Sequence[int | tuple[int, int]]

FORMS = ("auto", "plain")


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

  `form` "plain" is XLA's own convolution everywhere, which has forward-mode derivatives too.

  Raises: UserError for another form.
  """
  if form not in FORMS:
    raise unknown("form of a convolution", form, FORMS)
  n = x.ndim - 2
  strides, dilation, padding = each(strides, n), each(dilation, n), pads(padding, n)
  if isinstance(padding, str):
    window = [d * (k - 1) + 1 for k, d in zip(kernel.shape, dilation)]
    padding = tuple(lax.padtype_to_pads(x.shape[1:-1], window, strides, padding))
  geometry = Geometry(strides, padding, dilation, groups)
  if form == "plain" or _form(x.shape, kernel.shape, geometry) is None:
    return plain(x, kernel, geometry)
  return _chosen(x, kernel, geometry)


def _form(
  x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry
) -> ModuleType | None:
  """Returns the form that the CPU takes, None for XLA's own."""
  if any(before < 0 or after < 0 for before, after in geometry.padding):
    return None
  for form in (pointwise, depthwise):
    if form.fits(x_shape, kernel_shape, geometry):
      return form
  return None


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _chosen(x, kernel, geometry):
  form = _form(x.shape, kernel.shape, geometry)
  return lax.platform_dependent(
    x,
    kernel,
    cpu=partial(form.forward, geometry=geometry),
    default=partial(plain, geometry=geometry),
  )


def _chosen_forward(x, kernel, geometry):
  return _chosen(x, kernel, geometry), (x, kernel)


def _chosen_backward(geometry, kept, slope):
  x, kernel = kept
  form = _form(x.shape, kernel.shape, geometry)

  def ours(x, kernel, slope):
    slope = lax.optimization_barrier(slope)  # else what made it is computed twice
    return (
      form.input_gradient(slope, kernel, x.shape, geometry),
      form.kernel_gradient(x, slope, kernel.shape, geometry),
    )

  def xlas(x, kernel, slope):
    return jax.vjp(partial(plain, geometry=geometry), x, kernel)[1](slope)

  return lax.platform_dependent(x, kernel, slope, cpu=ours, default=xlas)


_chosen.defvjp(_chosen_forward, _chosen_backward)
