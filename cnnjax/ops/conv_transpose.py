"""Transposed convolution of any number of spatial dimensions, channels last.

It is the input gradient of a convolution, whose forms it is computed by (`ops/conv.py`); its own
gradients are that convolution and its kernel gradient.
"""

from functools import partial

import jax

from cnnjax.errors import UserError
from cnnjax.ops.conv import (
  Padding,
  Sizes,
  choose,
  convolved,
  each,
  input_gradient,
  kernel_gradient,
  pads,
)
from cnnjax.ops.cpu.barrier import barrier
from cnnjax.ops.geometry import Geometry


def conv_transpose(
  x: jax.Array, kernel: jax.Array, *, strides: Sizes = 1, padding: Padding = 0
) -> jax.Array:
  """Spreads x [B, *space, C] by kernel [*window, C, D] to [B, *space', D], as PyTorch does.

  With stride s and padding p, pixel i adds x[i] kernel[k] to pixel s i + k - p of the result for
  each tap k; p pixels on each side are cut off. n pixels become (n - 1) s + k - 2 p.

  Raises: UserError where the padding is not from 0 to less than the window.
  """
  n = x.ndim - 2
  geometry = Geometry(each(strides, n), pads(padding, n), (1,) * n, 1)
  if not all(0 <= p < k for k, pair in zip(kernel.shape, geometry.padding) for p in pair):
    raise UserError(
      f"a transposed convolution with a window of {kernel.shape[:-2]} takes a padding from 0 to "
      f"less than that, found {padding}"
    )
  sizes = zip(x.shape[1:-1], kernel.shape, geometry.strides, geometry.padding)
  shape = (x.shape[0], *((m - 1) * s + k - sum(p) for m, k, s, p in sizes), kernel.shape[-1])
  turned = kernel.swapaxes(-1, -2)  # that of the convolution from the result to x
  return _formed(x, turned, shape, geometry, choose(shape, turned.shape, geometry, x.dtype))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _formed(x, kernel, shape, geometry, form):
  return barrier(input_gradient(x, kernel, shape, geometry, form))


def _forward(x, kernel, shape, geometry, form):
  return _formed(x, kernel, shape, geometry, form), (x, kernel)


def _backward(shape, geometry, form, kept, gradient):
  (x, kernel), gradient = kept, barrier(gradient)
  return (
    convolved(gradient, kernel, geometry, form),
    kernel_gradient(gradient, x, kernel.shape, geometry, form),
  )


_formed.defvjp(_forward, _backward)
