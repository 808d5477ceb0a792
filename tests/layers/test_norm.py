"""Batch normalisation by its formula."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.layers import BatchNorm, InstanceNorm
from cnnjax.models.classification.densenet import DenseNet
from cnnjax.models.classification.resnet import BasicBlock, ResNet
from cnnjax.ops.norm import batch_norm, moments


@pytest.fixture(params=["cpu", "elsewhere"])
def platform(request, monkeypatch):
  """Runs a test as on the CPU, and with what GPUs and TPUs compute, on the CPU."""
  if request.param == "elsewhere":
    plain = lambda *values, default, **_: default(*values)  # noqa: E731
    monkeypatch.setattr(jax.lax, "platform_dependent", plain)
  jax.clear_caches()  # what was traced for the other
  yield request.param
  jax.clear_caches()


def trained(norm, variables, x):
  """Returns the output in training and the changed statistics."""
  run = jax.jit(partial(norm.apply, train=True, mutable=["batch_stats"]))
  return run(variables, x)


def test_by_hand():
  x = np.random.default_rng(0).normal(3, 2, (4, 3, 2, 5)).astype(np.float32)
  norm = BatchNorm(momentum=0.8)
  variables = norm.init(jax.random.key(0), x, train=False)
  assert {k: v.shape for k, v in variables["params"].items()} == {"scale": (5,), "bias": (5,)}
  scale, bias = np.arange(1, 6, dtype=np.float32), np.float32([0, 1, 0, 1, 0])
  variables = {**variables, "params": {"scale": scale, "bias": bias}}
  y, changed = trained(norm, variables, x)
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * scale + bias, atol=1e-4)
  now = changed["batch_stats"]
  np.testing.assert_allclose(now["mean"], 0.2 * mean, rtol=1e-5)
  np.testing.assert_allclose(now["var"], 0.8 + 0.2 * var * 24 / 23, rtol=1e-5)  # n / (n - 1)
  y = jax.jit(partial(norm.apply, train=False))({**variables, "batch_stats": now}, x)
  want = (x - now["mean"]) / np.sqrt(now["var"] + 1e-5) * scale + bias
  np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


def test_statistics_are_float32_in_bfloat16():
  x = jnp.full((8, 4, 4, 2), 300.0, jnp.bfloat16) + jnp.arange(8.0)[:, None, None, None]
  norm = BatchNorm(dtype=jnp.bfloat16)
  variables = norm.init(jax.random.key(0), x, train=False)
  y, changed = trained(norm, variables, x.astype(jnp.bfloat16))
  assert y.dtype == jnp.bfloat16 and changed["batch_stats"]["var"].dtype == jnp.float32
  one = trained(norm, variables, x[:1, :1, :1])[1]
  assert np.isfinite(one["batch_stats"]["var"]).all()  # of a single value


@pytest.mark.parametrize("within", [None, (0.0, math.inf), (0.0, 6.0)])
@pytest.mark.parametrize("joined", [False, True])
def test_gradients_are_those_of_the_formula(within, joined, platform):
  """In float64, of norm, sum and clipping at once; an odd number of pixels, a large mean."""
  with jax.enable_x64(True):
    rng = np.random.default_rng(0)
    x, residual = rng.normal(50, 3, (4, 7, 5, 3)), rng.normal(0, 2, (4, 7, 5, 3))
    scale, bias, gradient = rng.normal(1, 2, 3), rng.normal(0, 3, 3), rng.normal(size=x.shape)

    def formula(x, scale, bias, residual):
      mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
      y = (x - mean) / jnp.sqrt(var + 1e-5) * scale + bias
      y = y + residual if joined else y
      return y if within is None else jnp.clip(y, *within)

    def ours(x, scale, bias, residual):
      shift = jnp.full(3, 49.0)  # the running mean
      return batch_norm(x, scale, bias, residual if joined else None, shift, within=within)[0]

    @jax.jit
    def both(gradient, *arguments):
      values = [jax.vjp(function, *arguments) for function in (ours, formula)]
      return [(value, back(gradient)) for value, back in values]

    (found, our_gradients), (want, gradients) = both(gradient, x, scale, bias, residual)
    np.testing.assert_allclose(found, want, atol=1e-12)
    for one, other in zip(our_gradients, gradients, strict=True):
      np.testing.assert_allclose(one, other, atol=1e-10)


def test_moments_hold_at_a_large_mean(platform):
  """Beside a shift, as the running mean is one, and without it."""
  x = np.random.default_rng(0).normal(1e4, 1, (8, 16, 16, 2)).astype(np.float32)
  for shift in (None, np.float32([1e4 - 1, 1e4 + 2])):
    mean, var = jax.jit(moments)(x, shift)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(var, x.astype(np.float64).var((0, 1, 2)), rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_holds_at_a_large_mean(dtype, platform):
  """From the second step on, once the running mean has moved from 0 to the data."""
  x = np.random.default_rng(0).normal(1000, 1, (8, 16, 16, 2))
  x = jnp.asarray(x, dtype)
  norm = BatchNorm(dtype=dtype, momentum=0.1)
  variables = norm.init(jax.random.key(0), x, train=False)
  for _ in range(3):
    y, changed = trained(norm, variables, x)
    variables = {**variables, **changed}
  exact = np.asarray(x, np.float64)
  want = (exact - exact.mean((0, 1, 2))) / exact.std((0, 1, 2))
  one = {"float32": 1e-4, "bfloat16": 2e-2}[dtype]  # roundings of y
  np.testing.assert_allclose(np.asarray(y, np.float64), want, rtol=one, atol=2e-4)
  stats = variables["batch_stats"]
  np.testing.assert_allclose(stats["mean"], 0.999 * exact.mean((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
  "model",
  [
    ResNet((1, 1, 1, 1), BasicBlock, num_classes=3, dtype=jnp.bfloat16),
    DenseNet((1,), num_classes=3),
  ],
  ids=lambda model: type(model).__name__,
)
def test_what_is_for_the_cpu_is_the_cpus_alone(model):
  """A gradient's program has barriers on the CPU, and none for GPUs and TPUs."""
  x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
  variables = jax.eval_shape(partial(model.init, jax.random.key(0), train=False), x)

  @jax.jit
  @jax.grad
  def gradient(variables, x):
    outputs, _ = model.apply(variables, x, train=True, mutable=["batch_stats"])
    return outputs["logits"].astype(jnp.float32).sum()

  traced = gradient.trace(variables, x)
  for platform, there in (("cpu", True), ("tpu", False), ("cuda", False)):
    program = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("optimization_barrier" in program) == there, platform


@pytest.mark.parametrize("space", [(6, 5), (4, 3, 5)])
def test_instance_norm_by_its_formula_and_its_gradients(space):
  with jax.enable_x64(True):
    rng = np.random.default_rng(0)
    x, gradient = rng.normal(20, 3, (3, *space, 4)), rng.normal(size=(3, *space, 4))
    params = {"scale": rng.normal(1, 2, 4), "bias": rng.normal(0, 3, 4)}
    layer, axes = InstanceNorm(dtype=jnp.float64), tuple(range(1, len(space) + 1))

    def ours(params, x):
      return layer.apply({"params": params}, x, train=True, activation=jax.nn.relu)

    def formula(params, x):
      mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
      return jax.nn.relu((x - mean) / jnp.sqrt(var + 1e-5) * params["scale"] + params["bias"])

    @jax.jit
    def both(params, x):
      values = [jax.vjp(function, params, x) for function in (ours, formula)]
      return [(value, back(gradient)) for value, back in values]

    found, want = both(params, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), found, want)
    assert jax.tree.leaves(layer.init(jax.random.key(0), x))[0].shape == (4,)
