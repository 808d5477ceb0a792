"""Local response normalisation by its formula (Krizhevsky et al. 2012, section 3.3)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from cnnjax.layers import LocalResponseNorm
from cnnjax.ops.norm import local_response_norm


def by_loops(x, size, k, alpha, beta):
  """Returns b_i = a_i / (k + alpha sum of a_j^2, j from max(0, i - n/2) to i + n/2) ** beta."""
  y = np.zeros(x.shape)
  for i in range(x.shape[-1]):
    near = x[..., max(0, i - size // 2) : i + (size - 1) // 2 + 1].astype(np.float64)
    y[..., i] = x[..., i] / (k + alpha * np.sum(near**2, axis=-1)) ** beta
  return y


def test_by_hand():
  x = jnp.asarray([[[1.0, 2.0, 3.0]]])
  found = local_response_norm(x, size=3, k=1.0, alpha=2.0, beta=1.0)
  np.testing.assert_allclose(found, [[[1 / 11, 2 / 29, 3 / 27]]], rtol=1e-6)


def test_the_papers_constants():
  x = np.full((1, 1, 1, 7), 100, np.float32)
  sums = np.array([3, 4, 5, 5, 5, 4, 3]) * 100.0**2  # two neighbours on each side
  want = 100 / (2 + 1e-4 * sums) ** 0.75
  np.testing.assert_allclose(LocalResponseNorm().apply({}, x)[0, 0, 0], want, rtol=1e-5)


@given(
  st.lists(st.integers(1, 4), min_size=1, max_size=3),
  st.integers(1, 6),
  st.integers(1, 8),
  st.sampled_from([(2.0, 1e-4, 0.75), (1.0, 0.5, 0.5), (0.5, 0.1, 1.0)]),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_plain_loops_agree(space, size, channels, constants):
  x = np.random.default_rng(space).normal(0, 10, (*space, channels)).astype(np.float32)
  found = local_response_norm(x, size, *constants)
  np.testing.assert_allclose(found, by_loops(x, size, *constants), rtol=1e-5)


def test_the_gradient_is_that_of_differences():
  x = np.random.default_rng(0).normal(0, 3, (2, 5)).astype(np.float32)
  check_grads(lambda x: local_response_norm(x, 3, 1.0, 0.2), (x,), 1, modes=["rev"], rtol=2e-2)


def test_its_barrier_is_the_cpus_alone():
  gradient = jax.jit(jax.grad(lambda x: local_response_norm(x).sum()))
  for platform, there in (("cpu", True), ("tpu", False), ("cuda", False)):
    program = gradient.trace(jnp.ones((2, 8))).lower(lowering_platforms=(platform,)).as_text()
    assert ("optimization_barrier" in program) == there, platform


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_dtype_is_kept(dtype):
  assert local_response_norm(jnp.ones((1, 2, 2, 8), dtype)).dtype == dtype


def test_there_is_nothing_to_learn():
  layer, x = LocalResponseNorm(), jnp.ones((1, 2, 2, 8))
  y, variables = layer.init_with_output(jax.random.key(0), x)
  assert not jax.tree.leaves(variables)
  assert layer.multiply_adds(x.shape, y.shape) == 0
