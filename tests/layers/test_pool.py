"""The pyramid of maxima by its parts, and in a network that takes images of any size."""

from functools import partial

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.layers import PyramidPool


@pytest.mark.parametrize("sides", [(4, 6), (5, 3), (1, 1)])
def test_pyramid_of_maxima(sides):
  x = np.random.default_rng(0).normal(size=(2, *sides, 3)).astype(np.float32)
  found = PyramidPool((1, 2, 4)).apply({}, x)
  assert found.shape == (2, 1 + 4 + 16, 3)
  np.testing.assert_array_equal(found[:, 0], x.max((1, 2)))
  height, width = sides
  corner = x[:, height // 2 :, : -(-width // 2)]  # second row, first column of 2x2
  np.testing.assert_array_equal(found[:, 3], corner.max((1, 2)))
  last = x[:, 3 * height // 4 :, 3 * width // 4 :]
  np.testing.assert_array_equal(found[:, -1], last.max((1, 2)))


def test_a_network_with_it_has_weights_for_any_size():
  model = cnnjax.create_model("lenet5", pyramid=(1, 2, 4))
  make = partial(model.init, jax.random.key(0), train=False)
  shapes = [
    jax.tree.map(lambda leaf: leaf.shape, jax.eval_shape(make, np.zeros((1, *size, 1))))
    for size in ((32, 32), (48, 33), (64, 64))
  ]
  assert shapes[0] == shapes[1] == shapes[2]
