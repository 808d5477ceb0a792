"""The input gradient of a strided convolution as convolutions without strides, one for each phase.

A phase is the input pixels whose row and column leave the same remainders when divided by the
strides. All pixels of a phase are read by the same taps of the kernel.
"""

from collections.abc import Callable
from itertools import product

import jax
from jax import lax

from cnnjax.ops.cpu.windows import interleave
from cnnjax.ops.geometry import Geometry


def input_gradient(
  gradient: jax.Array,
  kernel: jax.Array,
  x_shape: tuple[int, ...],
  geometry: Geometry,
  convolve: Callable[[jax.Array, jax.Array, Geometry], jax.Array],
) -> jax.Array:
  """Returns the gradient with respect to x from that with respect to the result [B, H', W', D].

  Each phase is a convolution, by `convolve`, of the gradient with the taps that read the phase, in
  reverse order. The geometry must have neither dilation nor groups.
  """
  down, across = (_phases(axis, x_shape, kernel.shape, geometry, gradient.shape) for axis in (0, 1))
  (s, t), turned, phases = geometry.strides, kernel.swapaxes(2, 3), {}
  for (p, (i, rows)), (q, (j, columns)) in product(enumerate(down), enumerate(across)):
    taps = lax.optimization_barrier(turned[i::s, j::t][::-1, ::-1])
    if 0 not in taps.shape:
      phases[p, q] = convolve(gradient, taps, Geometry((1, 1), (rows, columns), (1, 1), 1))
  return interleave(phases, x_shape, geometry.strides)


def _phases(axis, x_shape, kernel_shape, geometry, gradient_shape):
  """Returns (first tap, padding of the gradient) for each phase of the input along an axis.

  Output pixel o reads input pixel i by tap i + before - stride * o, so that phase p is read by the
  taps first, first + stride, ..., where first = (p + before) mod stride.

  Example: five pixels, taps k0 k1 k2, stride 2 and padding (1, 1) give three output pixels, of
  gradients g0 g1 g2. The answer is [(1, (0, 0)), (0, (0, 1))]:

    phase 0, pixels 0, 2, 4, tap k1:              k1 g0,          k1 g1,          k1 g2
    phase 1, pixels 1, 3 (5 is cut off), k0, k2:  k2 g0 + k0 g1,  k2 g1 + k0 g2,  (k2 g2)
  """
  length, window, outputs = x_shape[1 + axis], kernel_shape[axis], gradient_shape[1 + axis]
  stride, before = geometry.strides[axis], geometry.padding[axis][0]
  size, found = -(-length // stride), []
  for phase in range(stride):
    first = (phase + before) % stride
    taps = len(range(first, window, stride))
    low = taps - 1 - (phase + before - first) // stride
    found.append((first, (low, size - outputs - low + taps - 1)))
  return found
