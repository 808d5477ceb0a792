"""Transposed convolutions by their definition."""

import itertools
from functools import partial

import jax
import numpy as np
import pytest

from cnnjax.errors import UserError
from cnnjax.layers import ConvTranspose
from cnnjax.ops.conv_transpose import conv_transpose

CASES = [  # x, window, strides, padding
  ((2, 3, 4, 3), (2, 2), (2, 2), (0, 0)),
  ((1, 3, 2, 2), (3, 2), (3, 2), (0, 0)),
  ((1, 3, 4, 2), (4, 4), (2, 2), (1, 1)),
  ((1, 4, 3, 2), (3, 3), (1, 1), (1, 1)),
  ((1, 3, 2, 2, 3), (2, 2, 2), (2, 2, 2), (0, 0, 0)),
  ((1, 2, 3, 2, 2), (1, 2, 2), (1, 2, 2), (0, 0, 0)),
]


def spread(x, kernel, strides, padding):
  """Returns the result, each pixel's window added in turn."""
  window, space = kernel.shape[:-2], x.shape[1:-1]
  sizes = [(n - 1) * s + k for n, s, k in zip(space, strides, window)]
  y = np.zeros((len(x), *sizes, kernel.shape[-1]))
  for place in itertools.product(*map(range, space)):
    for tap in itertools.product(*map(range, window)):
      to = tuple(i * s + k for i, s, k in zip(place, strides, tap))
      y[(slice(None), *to)] += x[(slice(None), *place)] @ kernel[tap]
  return y[(slice(None), *(slice(p, n - p) for n, p in zip(sizes, padding)))]


@pytest.mark.parametrize("shape, window, strides, padding", CASES)
def test_by_its_definition_with_gradients(shape, window, strides, padding):
  """It is linear in both arguments, so that <g, f(x, k)> must be <x, g_x> and <k, g_k>."""
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    x, kernel = rng.normal(size=shape), rng.normal(size=(*window, shape[-1], 4))
    ours = partial(conv_transpose, strides=strides, padding=padding)
    weight = rng.normal(size=spread(x, kernel, strides, padding).shape)

    @jax.jit
    def both(x, kernel):
      found, pull = jax.vjp(ours, x, kernel)
      return found, *pull(weight)

    found, to_x, to_kernel = both(x, kernel)
    np.testing.assert_allclose(found, spread(x, kernel, strides, padding), atol=1e-12)
    other_x, other_kernel = rng.normal(size=shape), rng.normal(size=kernel.shape)
    for ours_, other, result in (
      (to_x, other_x, spread(other_x, kernel, strides, padding)),
      (to_kernel, other_kernel, spread(x, other_kernel, strides, padding)),
    ):
      np.testing.assert_allclose((ours_ * other).sum(), (weight * result).sum(), rtol=1e-10)


def test_a_padding_as_large_as_the_window_is_a_user_error():
  with pytest.raises(UserError, match=r"window of \(2, 2\) takes a padding from 0 .* found 2"):
    conv_transpose(np.zeros((1, 4, 4, 1)), np.zeros((2, 2, 1, 1)), strides=2, padding=2)


def test_a_layer_and_its_multiply_adds():
  x = jax.ShapeDtypeStruct((2, 5, 6, 3), np.float32)
  layer = ConvTranspose(4, 2, 2, dtype="bfloat16")
  y, variables = jax.eval_shape(partial(layer.init_with_output, jax.random.key(0)), x)
  assert y.shape == (2, 10, 12, 4) and y.dtype == "bfloat16"
  assert variables["params"]["transposed"].shape == (2, 2, 3, 4)
  assert layer.multiply_adds((1, 5, 6, 3), (1, 10, 12, 4)) == 2 * 2 * 3 * 4 * 5 * 6
