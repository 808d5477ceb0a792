"""Whom the benchmark stands beside computes the same."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.layers import ConvNorm
from cnnjax.models import zoo
from experiments.timing.peers import FlaxLeNet5, flax_lenet5, undropped, weights
from experiments.timing.stock import stock


def test_stock_layers_are_those_of_flax():
  variables, x = weights("lenet5"), np.random.default_rng(0).normal(size=(2, 32, 32, 3))
  apply, theirs = flax_lenet5(variables)
  want = apply(theirs, x, train=False)["logits"]
  found = stock(zoo.create_model("lenet5"))(variables, x, train=False)["logits"]
  np.testing.assert_allclose(found, want, atol=1e-6)
  assert isinstance(apply.__self__, FlaxLeNet5)


def test_a_stock_step_is_ours():
  """With batch norm, in training: outputs and running means."""
  model, variables = undropped("resnet20_cifar"), weights("resnet20_cifar")
  x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
  found, changed = jax.jit(lambda v, x: stock(model)(v, x, train=True, mutable=["batch_stats"]))(
    variables, x
  )
  ours, ours_changed = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))(
    variables, x
  )
  np.testing.assert_allclose(found["logits"], ours["logits"], rtol=1e-3, atol=1e-4)
  want = ours_changed["batch_stats"]["trunk"]["stem"]["norm"]["mean"]
  np.testing.assert_allclose(
    changed["batch_stats"]["trunk"]["stem"]["norm"]["mean"], want, atol=1e-6
  )


def test_a_stock_layer_computes_in_its_type():
  x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
  model = ConvNorm(8, 3, padding=1, dtype=jnp.bfloat16)
  variables = model.init(jax.random.key(0), x, train=False)
  y, changed = stock(model)(variables, x, train=True, mutable=["batch_stats"])
  (params, stats) = (variables[key] for key in ("params", "batch_stats"))
  conv = nn.Conv(8, (3, 3), padding=1, use_bias=False, dtype=jnp.bfloat16)
  norm = nn.BatchNorm(use_running_average=False, momentum=0.9, dtype=jnp.bfloat16)
  want, running = norm.apply(
    {"params": params["norm"], "batch_stats": stats["norm"]},
    conv.apply({"params": params["conv"]}, x),
    mutable=["batch_stats"],
  )
  assert y.dtype == jnp.bfloat16
  np.testing.assert_array_equal(y, nn.relu(want))
  jax.tree.map(
    np.testing.assert_array_equal, changed["batch_stats"]["norm"], running["batch_stats"]
  )
