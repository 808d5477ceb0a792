"""What a convolution does besides its numbers."""

from typing import NamedTuple

import jax
from jax import lax


class Geometry(NamedTuple):
  """Strides, zeros (before, after), and dilation of each spatial dimension; groups of channels."""

  strides: tuple[int, ...]
  padding: tuple[tuple[int, int], ...]
  dilation: tuple[int, ...]
  groups: int


STILL = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)  # of a 1x1 window over all pixels

_LAYOUTS = {1: ("NLC", "LIO", "NLC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def places(
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
