"""LeNet-5 of 1998 against the paper's tables and plain arithmetic."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.models.classification import lenet_1998
from cnnjax.models.classification.lenet_1998 import C3_TABLE, RBF, Subsample, TableConv, codes
from tests.ops import brute

TABLE_1 = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""  # a row for each map of S2, a column for each of C3
SEEN = np.array([[c == "X" for c in line] for line in TABLE_1.split()])


def test_squash():
  x = jnp.array([0.0, 1.0, -1.0, 100.0])
  np.testing.assert_allclose(lenet_1998.squash(x), [0, 1, -1, 1.7159], atol=1e-4)


def test_connections_are_those_of_table_1():
  assert [set(row) for row in C3_TABLE] == [set(np.flatnonzero(c)) for c in SEEN.T]


def test_each_map_of_s2_is_used_ten_times():
  uses = [i for row in C3_TABLE for i in row]
  assert len(uses) == 60
  assert [uses.count(i) for i in range(6)] == [10] * 6


@pytest.fixture(scope="module")
def table_conv():
  """Returns an input, parameters and the output of C3's layer."""
  rng = np.random.default_rng(0)
  x = rng.integers(-3, 4, (2, 7, 6, 6)).astype(np.float32)
  params = {
    "kernel": rng.integers(-3, 4, (5, 5, 60)).astype(np.float32),
    "bias": np.arange(16, dtype=np.float32),
  }
  return x, params, TableConv().apply({"params": params}, x)


def test_table_conv_is_a_convolution_restricted_to_the_table(table_conv):
  x, params, y = table_conv
  assert y.shape == (2, 3, 2, 16)
  first = 0
  for d, row in enumerate(C3_TABLE):
    kernel = params["kernel"][..., first : first + len(row), None]
    first += len(row)
    alone = brute.conv(x[..., list(row)], kernel, (1, 1), [(0, 0)] * 2, (1, 1), 1)[..., 0]
    np.testing.assert_array_equal(y[..., d], alone + params["bias"][d])


def test_missing_connections_have_no_gradient(table_conv):
  x, params, _ = table_conv
  x = x[:1, :5, :5]
  gradients = jax.jacrev(lambda x: TableConv().apply({"params": params}, x)[0, 0, 0])(x)
  reached = np.abs(gradients[:, 0]).sum((1, 2)) > 0
  np.testing.assert_array_equal(reached.T, SEEN)


def test_table_conv_learns_a_weight_for_each_connection_only():
  made = jax.eval_shape(TableConv().init, jax.random.key(0), jnp.zeros((1, 5, 5, 6)))["params"]
  assert {k: v.shape for k, v in made.items()} == {"kernel": (5, 5, 60), "bias": (16,)}


def test_initial_weights_stay_within_their_fan_in():
  kernel = TableConv().init(jax.random.key(0), jnp.zeros((1, 5, 5, 6)))["params"]["kernel"]
  sizes = np.repeat([len(row) for row in C3_TABLE], [len(row) for row in C3_TABLE])
  largest = np.abs(kernel).max((0, 1)) * 25 * sizes / 2.4  # appendix A: 2.4 over the inputs
  assert (largest <= 1 + 1e-6).all() and (largest > 0.5).all()
  dense = lenet_1998.fan_in_uniform(jax.random.key(1), (5, 5, 4, 30))
  assert 0.9 * 2.4 / 100 < np.abs(dense).max() <= 2.4 / 100


def test_subsampling_is_a_sum_times_a_coefficient_plus_a_bias():
  x = np.arange(32, dtype=np.float32).reshape(1, 4, 4, 2)
  params = {"coefficient": np.float32([0.5, 2]), "bias": np.float32([1, -1])}
  y = Subsample().apply({"params": params}, x)
  for i, j, c in np.ndindex(2, 2, 2):
    total = x[0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c].sum()
    assert y[0, i, j, c] == total * params["coefficient"][c] + params["bias"][c]


def test_codes_of_the_digits_differ_in_five_pixels_or_more():
  drawn = codes(10)
  assert drawn.shape == (10, 84) and set(np.unique(drawn)) == {-1, 1}
  for a, b in itertools.combinations(range(10), 2):
    assert np.sum(drawn[a] != drawn[b]) >= 5, (a, b)


def test_codes_are_drawn_upright():
  one = codes(10)[1].reshape(12, 7)
  assert (one[[0, -1]] == -1).all()
  assert (one[1:-1, 3] == 1).all() and one.sum(0).argmax() == 3


def test_codes_of_other_numbers_of_classes_are_random_but_fixed():
  three = codes(3)
  assert three.shape == (3, 84) and set(np.unique(three)) == {-1, 1}
  np.testing.assert_array_equal(three, codes(3))
  assert all(20 < np.sum(a != b) < 64 for a, b in itertools.combinations(three, 2))


def test_rbf_is_the_squared_distance_to_each_code():
  x = np.zeros((2, 84), np.float32)
  x[1] = codes(10)[4]
  x[1, 0] += 3
  y = RBF(10).apply({}, x)
  assert y[0].tolist() == [84] * 10  # each number of a code is 1 away from 0
  assert y[1, 4] == 9
  assert y[1].argmin() == 4
  by_hand = [sum((float(a) - float(b)) ** 2 for a, b in zip(x[1], code)) for code in codes(10)]
  np.testing.assert_allclose(y[1], by_hand, rtol=1e-6)


def test_logits_are_negated_distances():
  model, x = lenet_1998.LeNet51998(num_classes=3), np.ones((1, 32, 32, 1), np.float32)
  shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
  silent = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
  assert model.apply(silent, x, train=False)["logits"].tolist() == [[-84] * 3]
