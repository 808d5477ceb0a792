"""Convolution of any number of spatial dimensions, channels last."""

from collections.abc import Sequence

import jax
from jax import lax

Sizes = int | Sequence[int]
Padding = str | int | Sequence[int | tuple[int, int]]

_LAYOUTS = {1: ("NLC", "LIO", "NLC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


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
) -> jax.Array:
  """Cross-correlates x [B, *space, C] with kernel [*window, C/groups, D] to [B, *space', D].

  With p the zeros added to a dimension of size n, a window of k (dilated: d(k-1)+1) and stride s
  leave floor((n - k + p + s) / s) places (course/002, "Stride").
  """
  n = x.ndim - 2
  return lax.conv_general_dilated(
    x,
    kernel,
    window_strides=each(strides, n),
    padding=pads(padding, n),
    rhs_dilation=each(dilation, n),
    dimension_numbers=_LAYOUTS[n],
    feature_group_count=groups,
  )
