"""The parameters of a convolution besides its arrays, and XLA's own convolution."""

from typing import NamedTuple

import jax
from jax import lax


class Geometry(NamedTuple):
  """Strides, padding (before, after) and dilation of each spatial dimension, and channel groups."""

  strides: tuple[int, ...]
  padding: tuple[tuple[int, int], ...]
  dilation: tuple[int, ...]
  groups: int


ONE_BY_ONE = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)  # of a 1x1 window at every pixel

_LAYOUTS = {1: ("NLC", "LIO", "NLC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def output_size(
  x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], geometry: Geometry
) -> list[int]:
  """Returns the sizes of the result's spatial dimensions."""
  each = zip(x_shape[1:-1], kernel_shape, *geometry[:3])
  return [(n + a + b - d * (k - 1) - 1) // s + 1 for n, k, s, (a, b), d in each]


def plain(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Returns XLA's own convolution of x [B, *space, C] with kernel [*window, C/groups, D]."""
  return lax.conv_general_dilated(
    x,
    kernel,
    window_strides=geometry.strides,
    padding=geometry.padding,
    rhs_dilation=geometry.dilation,
    dimension_numbers=_LAYOUTS[x.ndim - 2],
    feature_group_count=geometry.groups,
  )
