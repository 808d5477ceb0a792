"""The CPU's own forms add no collective to what eight devices compute together."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NORMS = 2  # in the net that has some


def main():
  """Prints the collectives of a step of three nets.

  By our operations on the CPU and elsewhere, and by stock ones.
  """
  from functools import partial

  import flax.linen as nn
  import jax
  import jax.numpy as jnp
  import optax

  from cnnjax.engine import state
  from cnnjax.engine.compiler import compile_step
  from cnnjax.engine.mesh import make_mesh
  from cnnjax.engine.step import train_step
  from cnnjax.layers import Conv, ConvNorm, LinearHead, MaxPool
  from cnnjax.tasks import classification as task
  from experiments.scaling import collectives
  from experiments.timing.stock import stock

  class Forms(nn.Module):  # columns, depthwise, grouped, pointwise, winograd, direct
    @nn.compact
    def __call__(self, x, *, train):
      x = Conv(8, 5, padding=2)(x)
      x = Conv(8, 3, padding=1, groups=8)(x)
      x = Conv(8, 3, padding=1, groups=2)(x)
      x = Conv(256, 3, padding=1)(Conv(256, 1)(x))
      x = Conv(8, 3, strides=2)(MaxPool(2)(x))
      return {"logits": LinearHead(4)(x, train=train)}

  class Norms(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      x = ConvNorm(8, 3)(x, train=train)
      x = ConvNorm(8, 1)(x, train=train, residual=x)
      return {"logits": LinearHead(4)(x, train=train)}

  class Volumes(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      x = MaxPool(2)(Conv(4, 3, strides=(1, 2, 1), padding=1)(x))
      return {"logits": LinearHead(4)(Conv(4, 1)(x).mean(1), train=train)}

  class Stock:
    def __init__(self, net):
      self.apply = stock(net)

  optimizer, mesh, found = optax.sgd(0.1), make_mesh(), {}
  by_platform = jax.lax.platform_dependent
  plain = lambda *values, default, **_: default(*values)  # noqa: E731, as on GPUs and TPUs
  for net in (Forms(), Norms(), Volumes()):
    image = jnp.zeros((16, *(4,) * isinstance(net, Volumes), 12, 12, 3))
    batch = {"image": image, "label": jnp.zeros(16, jnp.int32), "mask": jnp.ones(16)}
    shapes = jax.eval_shape(
      lambda key, net=net, image=image: state.create(
        net.init(key, image, train=False), optimizer, False
      ),
      jax.random.key(0),
    )
    for name, model in (("ours", net), ("stock", Stock(net)), ("elsewhere", net)):
      jax.clear_caches()  # of what was traced for another platform
      jax.lax.platform_dependent = plain if name == "elsewhere" else by_platform
      step = partial(
        train_step,
        model=model,
        inputs=task.inputs,
        loss=task.loss,
        transform=lambda key, batch: batch,
        optimizer=optimizer,
        seed=0,
      )
      program = compile_step(step, mesh).lower(shapes, batch).compile().as_text()
      found[f"{type(net).__name__} {name}"] = {
        "sent": collectives(program, mesh.size),
        "count": program.count(" all-reduce("),
      }
  print(json.dumps(found))


def test_forms_add_no_collective():
  flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
  done = subprocess.run(
    [sys.executable, "-m", "tests.ops.test_sharded"],
    capture_output=True,
    text=True,
    cwd=ROOT,
    env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
  )
  assert not done.returncode, done.stderr
  found = json.loads(done.stdout.splitlines()[-1])
  for net in ("Forms ours", "Norms ours", "Volumes ours"):  # stock Forms gather for the groups
    assert found[net]["sent"].keys() == {"all-reduce"}
  forms, stock = found["Forms ours"], found["Forms stock"]
  assert forms["count"] == stock["count"]
  sums = 16 / 9  # winograd sums 16 entries of a kernel gradient before they become 9
  assert forms["sent"]["all-reduce"] <= sums * stock["sent"]["all-reduce"]
  assert found["Volumes ours"] == found["Volumes stock"]
  norms, stock = found["Norms ours"], found["Norms stock"]
  assert norms["count"] <= stock["count"] + NORMS  # the mean first: Flax's one pass is less exact
  for net in ("Forms", "Norms", "Volumes"):
    assert found[f"{net} elsewhere"]["count"] <= found[f"{net} stock"]["count"], net


if __name__ == "__main__":
  main()
