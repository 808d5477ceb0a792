"""Pooling against the decks' numbers, their size formula and plain loops."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.layers import AdaptiveAvgPool, AvgPool, Flatten, GlobalAvgPool, MaxPool
from cnnjax.ops.pool import adaptive_avg_pool, avg_pool, max_pool
from tests.ops import brute

DECK = [[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]]  # course/001
CONVOLVED = [  # course/004, "3x3 pooling over 5x5 convolved feature"
  [3, 3, 2, 1, 0],
  [0, 0, 1, 3, 1],
  [3, 1, 2, 2, 3],
  [2, 0, 0, 2, 2],
  [2, 0, 0, 0, 1],
]
COUNTING = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]  # course/004, "Maximum Pooling"


def grey(values):
  """Returns one image of one channel, [1, H, W, 1]."""
  return jnp.asarray(values, jnp.float32)[None, ..., None]


def run(function, x, *arguments, **options):
  """Returns function(x, ...) by one program: without `jit` each operation of it would be one."""
  return jax.jit(lambda x: function(x, *arguments, **options))(x)


def through(layer, x):
  """Returns what a layer without parameters makes of x."""
  return run(partial(layer.apply, {}), x)


def plain(x):
  return np.asarray(x)[0, ..., 0].tolist()


def test_max_of_the_decks():
  assert plain(through(MaxPool(2), grey(DECK))) == [[20, 30], [112, 37]]


def test_averages_of_the_decks():
  assert plain(through(AvgPool(2), grey(DECK))) == [[13, 8], [79, 19.5]]


def test_overlapping_windows_of_the_decks():
  assert plain(through(MaxPool(3, 1), grey(CONVOLVED))) == [[3, 3, 3], [3, 3, 3], [3, 2, 3]]
  assert plain(through(MaxPool(2, strides=1), grey(COUNTING))) == [[4, 5], [7, 8]]
  assert plain(through(AvgPool(2, strides=1), grey(COUNTING))) == [[2, 3], [5, 6]]


@pytest.mark.parametrize(
  "layer", [MaxPool(2), AvgPool(2), AdaptiveAvgPool(3), GlobalAvgPool(), Flatten()]
)
def test_there_is_nothing_to_learn(layer):
  y, variables = layer.init_with_output(jax.random.key(0), grey(DECK))
  assert not jax.tree.leaves(variables)
  assert layer.multiply_adds((1, 4, 4, 1), y.shape) == 0


def test_flatten_keeps_the_batch():
  x = jnp.arange(24).reshape(2, 3, 2, 2)
  assert Flatten().apply({}, x).tolist() == [list(range(12)), list(range(12, 24))]


def test_output_size_in_all_small_cases():
  cases = 0
  for n, k, before, after, s in itertools.product(
    range(1, 10), range(1, 5), range(4), range(4), range(1, 4)
  ):
    want = brute.size(n, k, before + after, s)
    if want >= 1:
      x, options = jax.ShapeDtypeStruct((1, n, 1), "f4"), dict(strides=s, padding=[(before, after)])
      both = lambda x, k=k, o=options: (max_pool(x, k, **o), avg_pool(x, k, **o))  # noqa: E731
      assert {y.shape for y in jax.eval_shape(both, x)} == {(1, want, 1)}, (n, k, options)
      cases += 1
  assert cases == 1683


@st.composite
def problems(draw):
  """Draws a pooling each of whose windows holds at least one real value."""
  rank = draw(st.integers(1, 3))
  window = [draw(st.integers(1, 3)) for _ in range(rank)]
  strides = [draw(st.integers(1, 3)) for _ in range(rank)]
  padding = [(draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in window]
  space = [max(1, k - sum(p)) + draw(st.integers(0, 5 - rank)) for k, p in zip(window, padding)]
  shape = (draw(st.integers(1, 2)), *space, draw(st.integers(1, 2)))
  x = np.random.default_rng(draw(st.integers(0, 99))).integers(-9, 10, shape).astype(np.float32)
  return x, window, strides, padding


def by_loops(problem, fill, reduce):
  x, window, strides, padding = problem
  axes = tuple(range(1, 1 + len(window)))
  positions = brute.slide(x, window, strides, padding, [1] * len(window), fill)
  return brute.stack({position: reduce(patch, axes) for position, patch in positions})


@given(problems())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_max_is_that_of_plain_loops(problem):
  np.testing.assert_array_equal(run(max_pool, *problem), by_loops(problem, -np.inf, np.max))


@given(problems(), st.booleans())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_average_is_that_of_plain_loops(problem, count_padding):
  want = by_loops(problem, 0, np.mean) if count_padding else by_loops(problem, np.nan, np.nanmean)
  found = run(avg_pool, *problem, count_padding=count_padding)
  np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-6)


def test_same_pads_evenly_and_the_odd_row_comes_last():
  x = np.random.default_rng(0).normal(size=(1, 7, 5, 2)).astype(np.float32)
  padded = ((4, 2), 2, ((1, 2), (0, 1)))
  for pool, same in ((max_pool, "SAME"), (avg_pool, "same")):
    found, want = run(lambda x, p=pool, s=same: (p(x, (4, 2), 2, s), p(x, *padded)), x)
    np.testing.assert_array_equal(found, want)


def test_strides_default_to_the_window():
  x = jax.ShapeDtypeStruct((2, 9, 8, 3), "f4")
  assert jax.eval_shape(lambda x: max_pool(x, (3, 2)), x).shape == (2, 3, 4, 3)
  assert jax.eval_shape(lambda x: avg_pool(x, (3, 2)), x).shape == (2, 3, 4, 3)


def test_the_padding_is_never_the_largest():
  x = -grey([[1, 2], [3, 4]])
  assert plain(run(max_pool, x, 2, 2, 1)) == [[-1, -2], [-3, -4]]


def test_padding_counts_by_default():
  x = grey(np.ones((4, 4)))
  np.testing.assert_allclose(plain(run(avg_pool, x, 3, 3, 1)), [[4 / 9, 4 / 9], [4 / 9, 4 / 9]])
  assert plain(run(avg_pool, x, 3, 3, 1, count_padding=False)) == [[1, 1], [1, 1]]
  assert plain(through(AvgPool(3, 3, 1, count_padding=False), x)) == [[1, 1], [1, 1]]


@jax.jit
def halved(x):
  return max_pool(x, 2), avg_pool(x, 2)


@given(st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=16, deadline=None, derandomize=True)
def test_a_shift_by_the_stride_moves_the_output_by_one(down, right):
  x = np.random.default_rng(1).normal(size=(1, 10, 10, 1)).astype(np.float32)
  shifted = np.roll(x, (2 * down, 2 * right), (1, 2))
  for y, moved in zip(halved(x), halved(shifted)):
    y, moved = np.asarray(y), np.asarray(moved)
    np.testing.assert_array_equal(moved[:, down:, right:], y[:, : 5 - down, : 5 - right])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "bfloat16", "float16"])
def test_max_keeps_the_dtype(dtype):
  low = 0 if dtype == "uint8" else -100
  x = jnp.asarray([[low, low + 1], [low + 2, low + 3]], dtype)[None, ..., None]
  y = run(max_pool, x, 2, 1, 1)
  assert y.dtype == x.dtype
  assert y[0, 0, 0, 0] == low and y[0, 1, 1, 0] == low + 3


def test_average_in_bfloat16_stays_bfloat16():
  y = run(avg_pool, grey(DECK).astype(jnp.bfloat16), 2)
  assert y.dtype == jnp.bfloat16
  assert plain(y.astype(jnp.float32)) == [[13, 8], [79, 19.5]]


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_average_of_whole_numbers_is_neither_cut_nor_overflows(dtype):
  x = grey([[200, 201], [200, 201]]).astype(dtype)
  assert plain(run(avg_pool, x, 2)) == [[200.5]]
  assert plain(run(avg_pool, x, 2, 1, 1, count_padding=False))[0] == [200, 200.5, 201]


def gradient(pool, x):
  return plain(run(jax.grad(lambda x: pool(x).sum()), x))


def test_gradient_of_max_goes_to_the_largest():
  assert gradient(lambda x: max_pool(x, 2), grey(DECK)) == [
    [0, 1, 1, 0],
    [0, 0, 0, 0],
    [0, 0, 1, 0],
    [1, 0, 0, 0],
  ]


def test_gradient_of_overlapping_windows_adds_up():
  peak = grey([[0, 1, 2], [3, 9, 5], [6, 7, 8]])
  assert gradient(lambda x: max_pool(x, 2, 1), peak) == [[0, 0, 0], [0, 4, 0], [0, 0, 0]]
  assert gradient(lambda x: max_pool(x, 2, 1), grey(COUNTING)) == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]


def test_gradient_of_max_does_not_enter_the_padding():
  assert gradient(lambda x: max_pool(x, 2, 2, 1), -grey([[1, 2], [3, 4]])) == [[1, 1], [1, 1]]


def test_gradient_of_the_average_is_spread_evenly():
  assert gradient(lambda x: avg_pool(x, 2), grey(DECK)) == [[0.25] * 4] * 4
  assert gradient(lambda x: avg_pool(x, 2, 1), grey(COUNTING)) == [
    [0.25, 0.5, 0.25],
    [0.5, 1.0, 0.5],
    [0.25, 0.5, 0.25],
  ]


def test_gradient_without_counted_padding_is_that_of_the_smaller_window():
  def pool(x):
    return avg_pool(x, 2, 2, 1, count_padding=False)

  assert gradient(pool, grey(np.ones((3, 3)))) == [
    [1, 0.5, 0.5],
    [0.5, 0.25, 0.25],
    [0.5, 0.25, 0.25],
  ]


def test_rounding_up_adds_a_window_at_the_end():
  x = grey([[1, 2, 3], [4, 9, 6], [7, 8, 5]])
  assert plain(run(max_pool, x, 2)) == [[9]]
  assert plain(through(MaxPool(2, ceil=True), x)) == [[9, 6], [8, 5]]
  assert plain(run(max_pool, x, 2, 1, ceil=True)) == [[9, 9], [9, 9]]
  large = jax.ShapeDtypeStruct((1, 112, 112, 1), "f4")
  found = jax.eval_shape(lambda x: max_pool(x, 3, 2, ceil=True), large)
  assert found.shape == (1, 56, 56, 1)  # Caffe's
  assert gradient(lambda x: max_pool(x, 2, ceil=True), x) == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]


def rounded_up(x, window, strides, padding):
  """Returns the largest of each window that begins in the input or before it, by plain loops."""
  windows = [
    [
      slice(max(i, 0), i + k)
      for i in range(-before, n, s)
      if i + k <= n + after + s - 1  # as few windows as reach the end of the padded input
    ]
    for n, k, s, (before, after) in zip(x.shape[1:-1], window, strides, padding)
  ]
  found = [x[(slice(None), *cut)].max((1, 2)) for cut in itertools.product(*windows)]
  return np.stack(found, 1).reshape(len(x), *map(len, windows), -1)


@given(st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_rounding_up_is_that_of_plain_loops(data):
  window, strides, padding, space = [], [], [], []
  for _ in range(2):
    k, s = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    around = data.draw(st.integers(0, k // 2)), data.draw(st.integers(0, k // 2))
    least = max(1, k - sum(around) - s + 1)  # else there is no window
    space.append(data.draw(st.integers(least, least + 5)))
    window, strides, padding = [*window, k], [*strides, s], [*padding, around]
  x = np.random.default_rng(len(space)).normal(size=(2, *space, 1)).astype(np.float32)
  found = run(max_pool, x, window, strides, padding, ceil=True)
  np.testing.assert_array_equal(found, rounded_up(x, window, strides, padding))


def test_regions_of_the_adaptive_mean():
  x = jnp.arange(6.0).reshape(1, 6, 1)
  assert plain(run(adaptive_avg_pool, x, 3)[..., None]) == [[0.5], [2.5], [4.5]]
  assert plain(run(adaptive_avg_pool, x, 4)[..., None]) == [
    [0.5],
    [1.5],
    [3.5],
    [4.5],
  ]  # 0-1 1-2 3-4 4-5
  assert plain(run(adaptive_avg_pool, x[:, :2], 3)[..., None]) == [[0], [0.5], [1]]
  np.testing.assert_array_equal(adaptive_avg_pool(x, 6), x)


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=3))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_adaptive_mean_is_that_of_plain_loops(axes):
  space, size = zip(*axes)
  x = np.random.default_rng(space).normal(size=(2, *space, 2)).astype(np.float32)
  want = np.zeros((2, *size, 2))
  for index in np.ndindex(*size):
    ends = [(math.floor(i * n / m), math.ceil((i + 1) * n / m)) for i, (n, m) in zip(index, axes)]
    cut = (slice(None), *(slice(*e) for e in ends))
    want[(slice(None), *index)] = x[cut].mean(tuple(range(1, x.ndim - 1)))
  found = through(AdaptiveAvgPool(size), x)
  np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


def test_adaptive_mean_of_one_is_the_global_one():
  x = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
  found = through(GlobalAvgPool(), x)
  np.testing.assert_allclose(found, run(adaptive_avg_pool, x, 1)[:, 0, 0], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(found, x.mean((1, 2)), rtol=1e-5, atol=1e-6)


def test_adaptive_mean_keeps_bfloat16():
  x = grey(DECK).astype(jnp.bfloat16)
  assert jax.eval_shape(lambda x: adaptive_avg_pool(x, 3), x).dtype == jnp.bfloat16
