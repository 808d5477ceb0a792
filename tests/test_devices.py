"""One device and eight, whole and sharded, in one piece and accumulated: the same numbers."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
CASES = [(p, a) for p in ("replicated", "sharded") for a in (1, 2)]


def train(parameters, accumulate, dtype, steps):
  """Returns the losses and last state of a small net with batch norm, on all devices there are."""
  import flax.linen as nn
  import jax
  import optax

  from cnnjax.engine import state
  from cnnjax.engine.compiler import compile_step
  from cnnjax.engine.mesh import make_mesh, shard, state_sharding
  from cnnjax.engine.step import train_step
  from cnnjax.layers import BatchNorm, Conv, Dense, Flatten, MaxPool
  from cnnjax.tasks import classification as task

  class Net(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      x = Conv(8, 3, padding=1, dtype=dtype)(x)
      x = MaxPool(2)(nn.relu(BatchNorm(dtype=dtype)(x, train=train)))
      return {"logits": Dense(4, dtype=dtype)(Flatten()(x))}

  rng = np.random.default_rng(0)
  images = rng.normal(size=(64, 8, 8, 1)).astype(dtype)
  labels = rng.integers(0, 4, 64).astype(np.int32)
  model, optimizer, mesh = Net(), optax.sgd(0.05, momentum=0.9), make_mesh()

  def fresh(key):
    variables = model.init(key, images[:1], train=False)
    variables = jax.tree.map(lambda a: a.astype(dtype), variables)
    return state.create(variables, optimizer, True)

  place = state_sharding(jax.eval_shape(fresh, jax.random.key(0)), mesh, parameters)
  now = jax.jit(fresh, out_shardings=place)(jax.random.key(0))
  step = partial(
    train_step,
    model=model,
    inputs=task.inputs,
    loss=task.loss,
    transform=lambda key, batch: batch,
    optimizer=optimizer,
    seed=0,
    ema=0.9,
    accumulate=accumulate,
  )
  step, losses = compile_step(step, mesh, place, donate=True), []
  for k in range(steps):
    rows = (16 * k + np.arange(16)) % 64
    batch = {"image": images[rows], "label": labels[rows], "mask": np.ones(16, dtype)}
    now, logs = step(now, shard(batch, mesh))
    losses.append(float(logs["loss"][0]) / float(logs["loss"][1]))
  if parameters == "sharded" and mesh.size > 1:
    kernel = now.variables["params"]["Dense_0"]["kernel"]
    assert kernel.addressable_shards[0].data.size * mesh.size == kernel.size
  return [np.array(losses), *map(np.asarray, jax.tree.leaves(now))]


def main(out, dtype, steps):
  found = {}
  for parameters, accumulate in CASES:
    leaves = train(parameters, accumulate, dtype, int(steps))
    found |= {f"{parameters} {accumulate} {i}": leaf for i, leaf in enumerate(leaves)}
  np.savez(out, **found)


@pytest.mark.parametrize(
  ("dtype", "steps", "bound"), [("float64", 50, 1e-9), ("float32", 10, 1e-5)]
)
def test_one_device_and_eight(tmp_path, dtype, steps, bound):
  found = {}
  for devices in (1, 8):
    out = tmp_path / f"{devices}.npz"
    environment = {
      **os.environ,
      "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
      "JAX_ENABLE_X64": str(int(dtype == "float64")),
    }
    program = f"from tests.test_devices import main; main({str(out)!r}, {dtype!r}, {steps})"
    done = subprocess.run(
      [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found[devices] = np.load(out)
  for accumulate in (1, 2):
    reference = {
      name.split()[2]: leaf
      for name, leaf in found[1].items()
      if name.startswith(f"replicated {accumulate}")
    }
    losses = reference["0"]
    assert losses.dtype == np.float64 and losses[-1] < losses[0]
    for devices in (1, 8):
      for parameters in ("replicated", "sharded"):
        for i, want in reference.items():
          got = found[devices][f"{parameters} {accumulate} {i}"]
          np.testing.assert_allclose(got, want, rtol=bound, atol=bound)
