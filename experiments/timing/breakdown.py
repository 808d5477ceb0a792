"""A breakdown of a compiled step's time by kinds of instructions, from the profiler's trace."""

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import cnnjax
from cnnjax.engine import log
from cnnjax.errors import UserError
from cnnjax.visualise.figure import save
from cnnjax.visualise.roofline import roofline

from .peers import training

FORWARD, INPUT = "convolution, forward", "convolution, input gradient"
KERNEL, DENSE = "convolution, kernel gradient", "dense"
KINDS = (  # (kind, pattern of the operation's name in the program); the first match counts
  ("optimiser", r"optimizer"),
  (KERNEL, r"conv_kernel_gradient"),
  (INPUT, r"conv_input_gradient"),
  (FORWARD, r"conv_forward|conv_general_dilated"),
  ("normalisation", r"\bnorm|batch_norm"),
  ("pooling", r"pool|reduce_window|select_and_"),
  (DENSE, r"dot_general|head/fc"),
)
COPIES, REST = "copies", "elementwise"
COPYING = ("copy", "transpose", "pad", "concatenate", "slice", "bitcast", "broadcast")
SILENT = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast")  # take no time

_LINE = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.*?) ([\w\-]+)\((.*)$")
_ARRAY = re.compile(r"\b(pred|[subf]+\d+)\[([\d,]*)\]")
_WIDTH = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "f64": 8, "s64": 8, "u64": 8}


class Instruction(NamedTuple):
  """One line of a compiled program."""

  kind: str
  size: int  # bytes of its result
  reads: tuple[str, ...]


def instructions(program: str) -> dict[str, Instruction]:
  """Returns {name: instruction} of a compiled program's text."""
  found = {}
  for line in program.splitlines():
    if match := _LINE.match(line):
      name, shape, opcode, rest = match.groups()
      if opcode not in SILENT or name not in found:
        reads = tuple(re.findall(r"%([\w.\-]+)", rest.split(", metadata=")[0]))
        found[name] = Instruction(kind_of(name, opcode, rest), bytes_of(shape), reads)
  return found


def kind_of(name: str, opcode: str, rest: str) -> str:
  """Returns the kind of an instruction, by the name of the JAX operation that it comes from."""
  what = re.search(r'op_name="([^"]*)"', rest)
  if opcode in COPYING or any(name.startswith((w, f"wrapped_{w}")) for w in COPYING):
    return COPIES
  if opcode == "convolution" and not what:  # XLA drops its name
    return KERNEL
  for kind, pattern in KINDS:
    if what and re.search(pattern, what[1]):
      return kind
  return REST


def bytes_of(shape: str) -> int:
  """Returns the bytes of a shape in a program's text, of an array or a tuple of arrays."""
  arrays = _ARRAY.findall(shape)
  return sum(
    _WIDTH.get(t, 4) * int(np.prod([int(n) for n in d.split(",") if n])) for t, d in arrays
  )


def events(run: Callable[[], Any]) -> list[tuple[str, float, float]]:
  """Returns (instruction, begin, end), in seconds, of all that ran on the CPU during `run()`."""
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      run()
    (file,) = Path(folder).rglob("*.xplane.pb")
    data = jax.profiler.ProfileData.from_file(str(file))
  begun, found = defaultdict(list), []
  seen = [e for plane in data.planes for line in plane.lines for e in line.events]
  for event in sorted(seen, key=lambda e: e.start_ns):
    stats = dict(event.stats)
    if "hlo_op" in stats:
      begun[stats["hlo_op"]].append((event.start_ns, event.start_ns + event.duration_ns))
    elif event.name.startswith("end: ") and begun[event.name[5:]]:
      start, _ = begun[event.name[5:]].pop(0)
      found.append((event.name[5:], start / 1e9, event.start_ns / 1e9))
  for name, rest in begun.items():
    found += [(name, start / 1e9, end / 1e9) for start, end in rest]
  return found


def shared(spans: list[tuple[str, float, float]]) -> dict[str, float]:
  """Returns the seconds of each name; instructions that run at once share the time equally."""
  marks = sorted(
    [(start, 1, name) for name, start, _ in spans] + [(end, -1, name) for name, _, end in spans]
  )
  running, seconds, before = defaultdict(int), defaultdict(float), 0.0
  for at, change, name in marks:
    if running:
      part = (at - before) / sum(running.values())
      for other, count in running.items():
        seconds[other] += part * count
    running[name] += change
    if not running[name]:
      del running[name]
    before = at
  return seconds


def breakdown(run: Callable[[], Any], program: str, steps: int) -> dict[str, dict[str, float]]:
  """Returns {kind: seconds and bytes per step} of a program that `run()` runs `steps` times.

  Bytes are those of the arrays that its instructions read and write.
  """
  known, found = instructions(program), defaultdict(lambda: dict(seconds=0.0, bytes=0.0))
  for name, seconds in shared(events(run)).items():
    one = known.get(name, Instruction(REST, 0, ()))
    found[one.kind]["seconds"] += seconds / steps
    found[one.kind]["bytes"] += one.size + sum(known[r].size for r in one.reads if r in known)
  return found


def operations(name: str, batch_size: int) -> dict[str, float]:
  """Returns {kind: floating-point operations per training step} of a model's layers.

  They are counted from the layers' formulas, whatever algorithm the machine uses. The input of the
  first convolution needs no gradient; a dense layer needs three matrix products.
  """
  rows = cnnjax.summarize(name).rows
  convs = [row.multiply_adds for row in rows if row.kind.endswith("Conv")]
  dense = sum(row.multiply_adds for row in rows if row.kind == "Dense")
  found = {FORWARD: sum(convs), INPUT: sum(convs[1:]), KERNEL: sum(convs), DENSE: 3 * dense}
  return {kind: 2.0 * batch_size * count for kind, count in found.items()}


def profile(name: str, batch_size: int, steps: int, picture: Path | None) -> dict[str, Any]:
  """Prints and returns the breakdown of a training step, compared with the machine's peaks.

  Args:
    name: of a model of the zoo.
    batch_size: number of images.
    steps: number of steps to trace.
    picture: PNG file for the roofline.

  Raises: UserError on another platform than the CPU.
  """
  if jax.default_backend() != "cpu":
    raise UserError("--profile reads the CPU's traces; elsewhere use experiments.train --profile")
  step, now, batch = training(name, batch_size)
  compiled = step.lower(now, batch).compile()

  def run(count: int) -> None:
    nonlocal now
    for _ in range(count):
      now, logs = compiled(now, batch)
    jax.block_until_ready((now, logs))

  run(2)
  start = time.perf_counter()
  run(steps)
  wall = (time.perf_counter() - start) / steps
  found = breakdown(lambda: run(steps), compiled.as_text(), steps)
  flops, limits = operations(name, batch_size), peaks()
  total = sum(part["seconds"] for part in found.values())
  rows, points = {}, {}
  for kind, part in sorted(found.items(), key=lambda item: -item[1]["seconds"]):
    seconds = part["seconds"]
    rate = flops.get(kind, 0) / seconds
    rows[kind] = {
      "ms": f"{1e3 * seconds:.2f}",
      "share": f"{seconds / total:.0%}",
      "GFLOP/s": f"{rate / 1e9:.0f}" if rate else "",
      "GB/s": f"{part['bytes'] / seconds / 1e9:.1f}",
    }
    if rate:
      points[kind] = (flops[kind] / part["bytes"], rate)
  rows["peak"] = {
    "ms": "",
    "share": "",
    "GFLOP/s": f"{limits['flops'] / 1e9:.0f}",
    "GB/s": f"{limits['bytes'] / 1e9:.1f}",
  }
  log.grid(f"{name}, a training step of {batch_size}: {1e3 * wall:.1f} ms untraced", rows)
  if picture:
    roof = roofline(points, flops=limits["flops"], bandwidth=limits["bytes"])
    save(roof, picture)
    print(f"wrote {picture}")
  return {"model": name, "kind": "profile", "batch": batch_size, "parts": found, "peaks": limits}


def peaks() -> dict[str, float]:
  """Returns the machine's FLOP/s in a large matrix product and bytes/s in a large copy."""
  matrix = jax.random.normal(jax.random.key(0), (2048, 2048))
  block = jnp.ones(2**26)  # 256 MiB
  product, copy = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)

  def best(function, *arguments):
    times = []
    for _ in range(6):
      start = time.perf_counter()
      jax.block_until_ready(function(*arguments))
      times.append(time.perf_counter() - start)
    return min(times)

  flops = 2 * 2048**3 / best(product, matrix, matrix)
  return {"flops": flops, "bytes": 2 * block.nbytes / best(copy, block)}
