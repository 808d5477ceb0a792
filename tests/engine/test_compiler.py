"""What is asked of XLA: options that the installed jaxlib knows, and oneDNN's convolutions."""

import logging

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest
from jax import lax

from cnnjax.engine import compiler
from cnnjax.models.zoo import create_model
from cnnjax.ops.cpu.onednn import lacking, use_onednn

DROPPED = tuple(map(int, jaxlib.__version__.split(".")[:2])) < (0, 11)  # XLA drops barriers


def test_options_of_the_cpu_are_known(caplog):
  with caplog.at_level(logging.WARNING):
    found = compiler.options("cpu")
  told = {record.args[0] for record in caplog.records}
  assert found.keys() | told == compiler.CPU.keys() and not found.keys() & told
  assert compiler.options("gpu") == {} and compiler.options("gpu", True) == compiler.DETERMINISTIC


def test_an_unknown_option_is_left_out_and_told(caplog):
  with caplog.at_level(logging.WARNING):
    assert not compiler._known("xla_cpu_no_such_thing", "1")
  assert "training is slower without xla_cpu_no_such_thing" in caplog.text


def test_barriers_are_kept():
  """Of two equal sines, one behind a barrier, both are computed; jaxlib 0.12 does so unasked."""

  def twice(x):
    return jnp.sin(x) + jnp.sin(lax.optimization_barrier(x))

  x, kept = jnp.ones(8), compiler.options("cpu")
  plain = jax.jit(twice).lower(x).compile().as_text()
  ours = jax.jit(twice, compiler_options=kept).lower(x).compile().as_text()
  assert plain.count("sine(") == (1 if DROPPED else 2) and ours.count("sine(") == 2


def test_jit_is_jax_jit_with_the_options():
  double = compiler.jit(lambda x, times: x * times, static_argnames="times")
  assert double(jnp.ones(2), times=2).tolist() == [2, 2]
  barrier = compiler.jit(lambda x: jnp.sin(x) + jnp.sin(lax.optimization_barrier(x)))
  assert barrier.lower(jnp.ones(8)).compile().as_text().count("sine(") == 2
  own = {"xla_disable_hlo_passes": ""}
  fused = compiler.jit(
    lambda x: jnp.sin(x) + jnp.sin(lax.optimization_barrier(x)), compiler_options=own
  )
  assert fused.lower(jnp.ones(8)).compile().as_text().count("sine(") == (
    1 if DROPPED else 2
  )  # the caller's wins


@pytest.mark.skipif(bool(lacking()), reason=lacking())
@pytest.mark.skipif(jax.device_count("cpu") > 1, reason="it is for a CPU that is one device")
def test_a_network_that_asks_for_onednn_learns_the_same():
  model, x = create_model("lenet5"), jnp.sin(jnp.arange(16.0 * 32 * 32 * 3)).reshape(16, 32, 32, 3)
  variables = model.init(jax.random.key(0), x[:1], train=False)

  def loss(variables):
    return (model.apply(variables, x, train=True)["logits"] ** 2).mean()

  found = []
  for asked in (False, True):
    use_onednn(asked)
    try:
      gradients = (
        compiler.jit(jax.grad(lambda variables: loss(variables))).lower(variables).compile()
      )
    finally:
      use_onednn(False)
    assert ("__onednn$convolution" in gradients.as_text()) == asked
    found.append(gradients(variables))
  for one, other in zip(*map(jax.tree.leaves, found), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())
