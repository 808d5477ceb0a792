"""Convolution against the decks' numbers, their size formula and plain loops."""

import itertools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.layers import Conv, Dense
from cnnjax.ops.conv import conv, each, pads
from tests.ops import brute

BINARY = [  # course/001, "Convolution": the image, and below its filter
  [1, 1, 1, 0, 0],
  [0, 1, 1, 1, 0],
  [0, 0, 1, 1, 1],
  [0, 0, 1, 1, 0],
  [0, 1, 1, 0, 0],
]
CROSS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
COUNTING = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]  # course/002, "Cross-Correlation Operation"
SQUARE = [[0, 1], [2, 3]]


def convolved(image, kernel, bias=0.0, **hyper):
  """Returns one grey image convolved with one filter by the layer."""
  kernel = jnp.asarray(kernel, jnp.float32)[..., None, None]
  layer = Conv(1, kernel.shape[:2], **hyper)
  x = jnp.asarray(image, jnp.float32)[None, ..., None]
  y = layer.apply({"params": {"kernel": kernel, "bias": jnp.full(1, bias)}}, x)
  return np.asarray(y)[0, ..., 0].tolist()


def random(*shape, seed=0):
  """Returns small whole numbers, whose sums of products are exact in float32."""
  return np.random.default_rng([seed, *shape]).integers(-4, 5, shape).astype(np.float32)


def test_feature_map_of_the_decks():
  assert convolved(BINARY, CROSS) == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def test_stride_2_of_the_decks():
  assert convolved(BINARY, CROSS, strides=2) == [[4, 4], [2, 4]]


def test_cross_correlation_of_the_decks():
  assert convolved(COUNTING, SQUARE) == [[19, 25], [37, 43]]


def test_padding_of_the_decks():
  padded = [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]
  assert convolved(COUNTING, SQUARE, padding=1) == padded


def test_bias_is_added_at_every_position():
  assert convolved(COUNTING, SQUARE, bias=0.5) == [[19.5, 25.5], [37.5, 43.5]]


@pytest.mark.parametrize(
  "hyper, size",
  [
    (dict(kernel_size=3, padding=1), (8, 8)),
    (dict(kernel_size=3, padding=1, strides=2), (4, 4)),
    (dict(kernel_size=(3, 5), padding=(0, 1), strides=(3, 4)), (2, 2)),
  ],
)
def test_sizes_of_the_listings(hyper, size):  # course/004, "Padding" and "Stride"
  layer = Conv(1, **hyper)
  y, _ = jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
  assert y.shape == (1, *size, 1)


def test_output_size_in_all_small_cases():
  cases = 0
  for n, k, before, after, s in itertools.product(
    range(1, 10), range(1, 5), range(4), range(4), range(1, 4)
  ):
    want = brute.size(n, k, before + after, s)
    if want >= 1:
      x, kernel = jax.ShapeDtypeStruct((1, n, 1), "f4"), jax.ShapeDtypeStruct((k, 1, 1), "f4")
      y = jax.eval_shape(partial(conv, strides=s, padding=[(before, after)]), x, kernel)
      assert y.shape == (1, want, 1), (n, k, before, after, s)
      cases += 1
  assert cases == 1683


@st.composite
def problems(draw):
  """Draws a convolution whose output has at least one pixel."""
  rank = draw(st.integers(1, 3))

  def some(low, high):
    return [draw(st.integers(low, high)) for _ in range(rank)]

  window, strides, dilation = some(1, 3), some(1, 3), some(1, 2)
  padding = list(zip(some(0, 2), some(0, 2)))
  least = [max(1, d * (k - 1) + 1 - sum(p)) for k, d, p in zip(window, dilation, padding)]
  space = [n + extra for n, extra in zip(least, some(0, 5 - rank))]
  groups, inputs, outputs, batch = (draw(st.integers(1, 2)) for _ in range(4))
  return dict(
    x=random(batch, *space, groups * inputs, seed=draw(st.integers(0, 99))),
    kernel=random(*window, inputs, groups * outputs, seed=1),
    hyper=dict(strides=strides, padding=padding, dilation=dilation, groups=groups),
  )


@given(problems())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_values_are_those_of_plain_loops(problem):
  x, kernel, hyper = problem["x"], problem["kernel"], problem["hyper"]
  np.testing.assert_array_equal(conv(x, kernel, **hyper), brute.conv(x, kernel, **hyper))


@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [1, 4, 5, 7])
def test_same_padding_gives_one_output_for_each_stride(n, k, s):
  x, kernel = jax.ShapeDtypeStruct((1, n, 1), "f4"), jax.ShapeDtypeStruct((k, 1, 1), "f4")
  y = jax.eval_shape(partial(conv, strides=s, padding="SAME"), x, kernel)
  assert y.shape == (1, (n + s - 1) // s, 1)  # course/004, "Stride": with p = k - 1


@pytest.mark.parametrize(
  "n, k, s, padding", [(5, 3, 1, (1, 1)), (4, 2, 1, (0, 1)), (7, 4, 2, (1, 2))]
)
def test_same_pads_evenly_and_the_odd_zero_comes_last(n, k, s, padding):
  x, kernel = random(2, n, 2), random(k, 2, 3)
  y = conv(x, kernel, strides=s, padding="same")
  np.testing.assert_array_equal(y, brute.conv(x, kernel, [s], [padding], [1], 1))


def test_valid_adds_nothing():
  x, kernel = random(1, 6, 2), random(3, 2, 2)
  np.testing.assert_array_equal(conv(x, kernel, padding="VALID"), conv(x, kernel))


def test_sizes_and_padding_may_be_one_number_or_one_a_dimension():
  assert each(2, 3) == (2, 2, 2)
  assert each([1, 2], 2) == (1, 2)
  assert pads(1, 2) == ((1, 1), (1, 1))
  assert pads((1, 2), 2) == ((1, 1), (2, 2))
  assert pads([(0, 1), 2], 2) == ((0, 1), (2, 2))
  assert pads("same", 2) == "SAME"


def test_outputs_of_one_group_do_not_depend_on_another():
  x, kernel = random(1, 5, 5, 4), random(3, 3, 2, 6)
  changed = x.copy()
  changed[..., 2:] += 1
  same = np.asarray(conv(x, kernel, groups=2) == conv(changed, kernel, groups=2)).all((0, 1, 2))
  assert same.tolist() == [True] * 3 + [False] * 3


@given(st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=16, deadline=None, derandomize=True)
def test_a_shifted_image_has_a_shifted_feature_map(down, right):
  x, kernel = random(1, 9, 9, 2), random(3, 3, 2, 2)
  y = np.asarray(conv(x, kernel))
  shifted = np.asarray(conv(np.roll(x, (down, right), (1, 2)), kernel))
  height, width = y.shape[1:3]
  np.testing.assert_array_equal(shifted[:, down:, right:], y[:, : height - down, : width - right])
  assert (down, right) == (0, 0) or (shifted != y).any()


def test_a_shift_by_the_stride_moves_the_feature_map_by_one():
  x, kernel = random(1, 9, 9, 1), random(3, 3, 1, 1)
  y = np.asarray(conv(x, kernel, strides=2))
  shifted = np.asarray(conv(np.roll(x, 2, 1), kernel, strides=2))
  np.testing.assert_array_equal(shifted[:, 1:], y[:, :-1])


@pytest.mark.parametrize(
  "hyper",
  [
    {},
    dict(strides=2, padding=1),
    dict(dilation=2, padding="SAME"),
    dict(groups=2, strides=(1, 2)),
  ],
)
def test_gradients_are_the_two_adjoints(hyper):
  x, kernel = random(2, 5, 6, 2), random(3, 2, 2 // hyper.get("groups", 1), 4)
  y, pull = jax.vjp(lambda x, kernel: conv(x, kernel, **hyper), x, kernel)
  weight = random(*y.shape, seed=3)
  x_gradient, kernel_gradient = pull(jnp.asarray(weight))
  assert np.any(x_gradient) and np.any(kernel_gradient)
  for position in [(0, 0, 0, 0), (1, 2, 3, 1), (1, 4, 5, 0)]:
    nudge = np.zeros_like(x)
    nudge[position] = 1
    assert float(x_gradient[position]) == float(np.sum(weight * conv(nudge, kernel, **hyper)))
  for position in [(0, 0, 0, 0), (2, 1, 0, 3)]:
    nudge = np.zeros_like(kernel)
    nudge[position] = 1
    assert float(kernel_gradient[position]) == float(np.sum(weight * conv(x, nudge, **hyper)))


def test_the_layer_computes_in_its_dtype_and_keeps_float32_parameters():
  x, layer = random(1, 4, 4, 2), Conv(3, 2, dtype=jnp.bfloat16)
  made = jax.eval_shape(layer.init, jax.random.key(0), x)
  assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {jnp.dtype("float32")}
  params = {"kernel": random(2, 2, 2, 3) / 3, "bias": random(3) / 3}
  y = layer.apply({"params": params}, x)
  assert y.dtype == jnp.bfloat16
  np.testing.assert_allclose(y.astype("f4"), Conv(3, 2).apply({"params": params}, x), atol=0.3)


def test_whole_numbers_are_read_as_the_layers_dtype():
  kernel = {"kernel": jnp.ones((2, 2, 1, 1)), "bias": jnp.zeros(1)}
  y = Conv(1, 2).apply({"params": kernel}, jnp.full((1, 2, 2, 1), 200, jnp.uint8))
  assert y.dtype == jnp.float32 and y.item() == 800


def test_parameters_are_those_of_flax():
  x, key = random(1, 5, 5, 4), jax.random.key(1)
  theirs = nn.Conv(6, (3, 3), feature_group_count=2).init(key, x)
  ours = Conv(6, 3, groups=2).init(key, x)
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)
  theirs, ours = nn.Dense(3).init(key, x), Dense(3).init(key, x)
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_parameters_are_shared_by_all_positions():  # course/001: 4 weights and a bias
  for size in (3, 30):
    variables = jax.eval_shape(Conv(1, 2).init, jax.random.key(0), jnp.zeros((1, size, size, 1)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 5
  bare = jax.eval_shape(Conv(1, 2, use_bias=False).init, jax.random.key(0), jnp.zeros((1, 3, 3, 1)))
  assert set(bare["params"]) == {"kernel"} and bare["params"]["kernel"].size == 4


def test_multiply_adds_count_one_for_each_product():
  assert Conv(16, 5).multiply_adds((1, 14, 14, 6), (1, 10, 10, 16)) == 25 * 6 * 16 * 100
  assert Conv(8, (3, 1), groups=4).multiply_adds((1, 9, 9, 4), (1, 7, 9, 8)) == 3 * 1 * 8 * 63
  assert Conv(5, 3).multiply_adds((1, 9, 2), (1, 7, 5)) == 3 * 2 * 5 * 7
  assert Dense(84).multiply_adds((1, 120), (1, 84)) == 120 * 84
