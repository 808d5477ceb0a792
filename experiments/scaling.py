"""Measures a training step on several devices: python -m experiments.scaling [--devices=1,2,4,8].

The devices are simulated on this machine's CPU. For each number of them, with parameters replicated
and sharded, a table shows the step's time, the memory that each device needs, and the bytes that
each device sends by collectives; the last two are read from the compiled program. The batch grows
with the devices (weak scaling); with --total, --batch is divided among them.
"""

import json
import os
import re
import subprocess
import sys
import time
from typing import Any

from absl import flags

from cnnjax.errors import UserError

from . import launch

FLAGS = flags.FLAGS
CONFIG = "configs/classification/lenet5_digits.py:quick"
BYTES = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "u8": 1}
SENT = {  # (bytes of the result, n) -> bytes that each of n devices in a ring sends
  "all-reduce": lambda size, n: 2 * (n - 1) / n * size,
  "all-gather": lambda size, n: (n - 1) / n * size,
  "reduce-scatter": lambda size, n: (n - 1) * size,
  "all-to-all": lambda size, n: (n - 1) / n * size,
  "collective-permute": lambda size, n: size,
}


def collectives(program: str, devices: int) -> dict[str, float]:
  """Returns the bytes that each device sends, by kind of collective, in a compiled program."""
  sent: dict[str, float] = {}
  for line in program.splitlines():
    found = re.search(r"= (.+?) (" + "|".join(SENT) + r")(?:-start)?\(", line)
    if found:
      shapes = re.findall(r"([a-z]+\d+)\[([\d,]*)\]", found[1])
      size = sum(BYTES[kind] * _product(dims) for kind, dims in shapes if kind in BYTES)
      sent[found[2]] = sent.get(found[2], 0.0) + SENT[found[2]](size, devices)
  return sent


def _product(dims: str) -> int:
  size = 1
  for dim in filter(None, dims.split(",")):
    size *= int(dim)
  return size


def measure(config: str, parameters: str, batch: int, seconds: float) -> dict[str, Any]:
  """Returns time, memory and sent bytes of a step on all devices of this process."""
  import jax

  from cnnjax.engine.compiler import compile_once
  from cnnjax.engine.config import resolve
  from cnnjax.engine.fit import plan
  from cnnjax.engine.mesh import shard

  config = launch.read_config(config)
  with config.unlocked():
    config.data.batch_size, config.mesh.parameters = batch, parameters
    config.data.arguments = {"examples": 512 + 2 * batch}
  job = plan(*resolve(config))
  now = compile_once(job.fresh, job.sharding)(jax.random.key(0))
  data = shard(job.batches(0), job.mesh)
  compiled = job.step.lower(now, data).compile()
  memory = compiled.memory_analysis()
  now, _ = jax.block_until_ready(compiled(now, data))
  times, until = [], time.perf_counter() + seconds
  while time.perf_counter() < until or len(times) < 3:
    start = time.perf_counter()
    now, _ = jax.block_until_ready(compiled(now, data))
    times.append(time.perf_counter() - start)
  return {
    "devices": job.mesh.size,
    "parameters": parameters,
    "batch": batch,
    "milliseconds": 1e3 * sorted(times)[len(times) // 2],
    "state_bytes": memory.argument_size_in_bytes - data["image"].nbytes // job.mesh.size,
    "scratch_bytes": memory.temp_size_in_bytes,
    "sent_bytes": collectives(compiled.as_text(), job.mesh.size),
  }


def main(argv: list[str]) -> None:
  """Prints the table, each row as soon as it is measured."""
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; scaling takes flags only")
  if not all(d.isdecimal() and int(d) for d in FLAGS.devices):
    raise UserError(f"--devices must be numbers such as 1,2,4,8; found {','.join(FLAGS.devices)}")
  print("devices  parameters  batch  step ms  state KiB  scratch KiB  sent KiB  by")
  for parameters in ("replicated", "sharded"):
    for devices in map(int, FLAGS.devices):
      batch = FLAGS.batch if FLAGS.total else FLAGS.batch * devices
      row = _apart(devices, parameters, batch)
      kinds = ", ".join(f"{k} {v / 1024:,.1f}" for k, v in row["sent_bytes"].items()) or "none"
      print(
        f"{devices:7}  {parameters:10}  {batch:5}  {row['milliseconds']:7.2f}  "
        f"{row['state_bytes'] / 1024:9,.1f}  {row['scratch_bytes'] / 1024:11,.1f}  "
        f"{sum(row['sent_bytes'].values()) / 1024:8,.1f}  {kinds}",
        flush=True,
      )


def _apart(devices: int, parameters: str, batch: int) -> dict[str, Any]:
  """Measures in a new process, since the number of devices is fixed when JAX starts."""
  call = f"measure({FLAGS.config!r}, {parameters!r}, {batch}, {FLAGS.seconds})"
  program = f"import json; from experiments.scaling import measure; print(json.dumps({call}))"
  flag = f"--xla_force_host_platform_device_count={devices}"
  environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flag}
  done = subprocess.run(
    [sys.executable, "-c", program], env=environment, capture_output=True, text=True
  )
  if done.returncode:
    raise UserError(f"on {devices} devices: {done.stderr.strip().splitlines()[-1]}")
  return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
  flags.DEFINE_string("config", CONFIG, "config file; its data are replaced by generated ones")
  flags.DEFINE_list("devices", ["1", "2", "4", "8"], "numbers of simulated devices")
  flags.DEFINE_integer("batch", 16, "examples for each device", lower_bound=1)
  flags.DEFINE_bool("total", False, "whether --batch is divided among the devices instead")
  flags.DEFINE_float("seconds", 2.0, "how long to time each")
  launch.run(main)
