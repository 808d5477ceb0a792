"""What a GPU's or a TPU's compiler makes of a training step, ours and stock Flax's, without one.

python -m experiments.timing.chips [--chip=v5e|h100] [--models=resnet18,vgg16_bn] [--layers=flax]

The compilers come with `pip install 'jax[tpu]'` and `pip install 'jax[cuda12]'`, and need no
device. A step is the engine's, in bfloat16, SGD with momentum, on 128 images of 224x224 a chip; a
TPU's runs on four chips that share a batch, a GPU's on one. Of a TPU the bytes are those that its
compiler counts. That of a GPU counts none, so that operands and results of the program's
instructions are added, a fusion or a call of a library as one.
"""

import os
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags
from jax.experimental import topologies
from jax.sharding import Mesh

from cnnjax.engine import state
from cnnjax.engine.compiler import compile_step
from cnnjax.engine.mesh import replicated
from cnnjax.engine.step import train_step
from cnnjax.errors import UserError, unknown
from cnnjax.tasks import task as task_of

from .. import launch
from .breakdown import SILENT, bytes_of
from .peers import MOMENTUM, RATE, undropped
from .stock import stock

FLAGS = flags.FLAGS
TPU = {  # what libtpu asks the machine for, where there is no TPU
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_ACCELERATOR_TYPE": "v5litepod-8",
  "TPU_WORKER_HOSTNAMES": "localhost",
}
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024  threads_per_warp: 32  shared_memory_per_block: 49152
  shared_memory_per_core: 233472  threads_per_core_limit: 2048  core_count: 132  fpus_per_core: 128
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000  l2_cache_size: 52428800  clock_rate_ghz: 1.98
  device_memory_size: 84942979072  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES }
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""  # as openxla/xla writes it down for an H100 SXM, a GpuTargetConfigProto
CHIPS = {
  "v5e": dict(platform="tpu", topology_name="v5e:2x2"),
  "h100": dict(platform="cuda", topology_name="h100", topology="1x1x1", target_config=H100),
}


LINE = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = (.*?) ([\w\-]+)\(([^)]*)")


class Stock(NamedTuple):
  """A model whose `apply` computes with stock Flax's layers."""

  model: Any

  @property
  def apply(self) -> Callable:
    return stock(self.model)


def mesh_of(chip: str) -> Mesh:
  """Returns the mesh of chips that are not there, for the compiler.

  Raises: UserError for an unknown chip, and where its compiler is not installed.
  """
  if chip not in CHIPS:
    raise unknown("chip", chip, CHIPS)
  for name, value in TPU.items():
    os.environ.setdefault(name, value)
  try:
    devices = topologies.get_topology_desc(**CHIPS[chip]).devices
  except Exception as error:  # jaxlib's own; its type differs between platforms
    extra = {"tpu": "tpu", "cuda": "cuda12"}[CHIPS[chip]["platform"]]
    why = str(error).splitlines()[0]
    raise UserError(
      f"{chip}'s compiler, of pip install 'jax[{extra}]', does not start: {why}"
    ) from error
  return Mesh(np.array(devices).reshape(-1), ("data",))


def compiled(mesh: Mesh, model: Any, layers: Any, batch: int, side: int = 224) -> Any:
  """Returns the compiled training step of a classifier for a mesh of chips that are not there.

  Args:
    mesh: of `mesh_of`.
    model: that makes the variables.
    layers: the model itself, or another with its variables, such as `Stock`.
    batch: number of images for each chip.
    side: of an image, in pixels.
  """
  task, optimizer = task_of("classification"), optax.sgd(RATE, MOMENTUM)

  def first(key):
    variables = model.init(key, jnp.zeros((1, side, side, 3)), train=False)
    return state.create(variables, optimizer, ema=False)

  count = batch * mesh.size
  examples = {
    "image": jax.ShapeDtypeStruct((count, side, side, 3), jnp.float32),
    "label": jax.ShapeDtypeStruct((count,), jnp.int32),
    "mask": jax.ShapeDtypeStruct((count,), jnp.float32),
  }
  step = partial(
    train_step,
    model=layers,
    inputs=task.inputs,
    loss=task.loss,
    transform=lambda key, batch: batch,
    optimizer=optimizer,
    seed=0,
  )
  step = compile_step(step, mesh, replicated(mesh), donate=True)
  traced = step.trace(jax.eval_shape(first, jax.random.key(0)), examples)
  platform = mesh.devices.flat[0].platform
  platform = {"gpu": "cuda"}.get(platform, platform)
  return traced.lower(lowering_platforms=(platform,)).compile()


def report(program: Any) -> dict[str, float]:
  """Returns GB moved, all-reduces and MiB of scratch memory, of a compiled program and a chip."""
  text, cost = program.as_text(), program.cost_analysis()
  return {
    "GB": (cost["bytes accessed"] if cost else moved(text)) / 1e9,
    "all-reduces": len(re.findall(r" all-reduce(?:-start)?\(", text)),
    "scratch MiB": program.memory_analysis().temp_size_in_bytes / 2**20,
  }


def moved(program: str) -> int:
  """Returns the bytes of operands and results of a program's outermost instructions."""
  entry = program[program.index("\nENTRY") :]
  sizes, total = {}, 0
  for line in entry[: entry.index("\n}")].splitlines():
    if match := LINE.match(line):
      name, shape, opcode, operands = match.groups()
      sizes[name] = bytes_of(shape)
      if opcode not in SILENT and not opcode.endswith("-done"):
        total += sizes[name] + sum(sizes.get(n, 0) for n in re.findall(r"%([\w.\-]+)", operands))
  return total


def main(argv: list[str]) -> None:
  """Prints a row for each model, with each kind of layers."""
  jax.config.update("jax_enable_compilation_cache", False)  # it cannot read such programs
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; models are named by --models=NAME,NAME")
  mesh = mesh_of(FLAGS.chip)
  print(f"{FLAGS.chip}, {mesh.size} of them, {FLAGS.batch} images each")
  print(
    f"{'model':16}{'layers':10}{'GB':>8}{'all-reduces':>13}{'scratch MiB':>13}{'compiled in':>13}"
  )
  for name in FLAGS.models:
    model = undropped(name, dtype=jnp.bfloat16)
    for layers in FLAGS.layers:
      start = time.perf_counter()
      sides = {"cnnjax": model, "flax": Stock(model)}
      found = report(compiled(mesh, model, sides[layers], FLAGS.batch))
      seconds = time.perf_counter() - start
      row = f"{found['GB']:8.2f}{found['all-reduces']:13}{found['scratch MiB']:13,.0f}"
      print(f"{name:16}{layers:10}{row}{seconds:11.0f} s", flush=True)


if __name__ == "__main__":
  flags.DEFINE_string("chip", "v5e", f"one of {', '.join(CHIPS)}")
  flags.DEFINE_list("models", ["resnet18"], "classifiers of the zoo")
  flags.DEFINE_multi_enum("layers", ["cnnjax", "flax"], ["cnnjax", "flax"], "whose layers")
  flags.DEFINE_integer("batch", 128, "images of a chip")
  launch.run(main)
