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


def share():
  """Trains a 3-D U-Net on one device, and on eight of which four share a volume."""
  import jax
  import optax

  import cnnjax
  from cnnjax import tasks
  from cnnjax.engine import state
  from cnnjax.engine.compiler import compile_step
  from cnnjax.engine.mesh import across, make_mesh, shard, state_sharding
  from cnnjax.engine.step import train_step
  from cnnjax.ops.volume import VolumePreprocessing

  rng, found = np.random.default_rng(0), {}
  volume = rng.normal(size=(2, 16, 8, 8, 1))
  batch = {"volume": volume, "segments": (volume[..., 0] > 0.5).astype(np.uint8)}
  to = VolumePreprocessing(tile=(16, 8, 8))
  options = dict(widths=(4, 8), norm="batch", dtype="float64", preprocessing=to)
  model, optimizer = cnnjax.create_model("unet3d", **options), optax.sgd(0.05)
  task = tasks.task("segmentation", model=model, dice=1.0)

  def fresh(key):
    variables = jax.tree.map(np.float64, model.init(key, volume[:1], train=False))
    return state.create(variables, optimizer, False)

  first = fresh(jax.random.key(0))
  for mesh in (make_mesh(1), make_mesh(8, space=4)):
    step = partial(
      train_step,
      model=model,
      inputs=task.inputs,
      loss=task.loss,
      transform=lambda key, batch: batch,
      optimizer=optimizer,
      seed=0,
      across=partial(across, mesh=mesh),
    )
    place = state_sharding(first, mesh, "replicated")
    step, now = compile_step(step, mesh, place), jax.device_put(first, place)
    whole = shard({**batch, "mask": np.ones(2)}, mesh)
    text = step.lower(now, whole).compile().as_text()
    for _ in range(3):
      now, _ = step(now, whole)
    found[mesh.size] = [*map(np.asarray, jax.tree.leaves(now))]
    halos = "collective-permute" in text
    assert halos == (mesh.size == 8), "parts do not exchange their borders"
  for one, other in zip(*found.values(), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_a_volume_that_devices_share():
  count = "--xla_force_host_platform_device_count=8"
  flags = {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {count}", "JAX_ENABLE_X64": "1"}
  program = [sys.executable, "-c", "from tests.test_devices import share; share()"]
  options = dict(cwd=ROOT, env={**os.environ, **flags}, capture_output=True, text=True)
  done = subprocess.run(program, **options)
  assert done.returncode == 0, done.stderr
