"""Devices: one mesh, where arrays live on it, and the one `jit`."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.errors import UserError


def make_mesh(devices: int = 0) -> Mesh:
  """Returns a mesh of so many devices (0: all) along the axis `data`.

  Raises: UserError where there are fewer.
  """
  have = jax.devices()
  if devices > len(have):
    raise UserError(f"mesh.devices is {devices}, but this machine has {len(have)}: {have}")
  return Mesh(np.array(have[: devices or None]), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
  """Every device holds the whole array."""
  return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
  """Each device holds its part of the first axis."""
  return NamedSharding(mesh, PartitionSpec("data"))


def check_batch(batch_size: int, mesh: Mesh) -> None:
  """Raises: UserError for a batch that the devices do not divide, naming the nearest that works."""
  if batch_size % mesh.size or batch_size < 1:
    near = max(1, round(batch_size / mesh.size)) * mesh.size
    raise UserError(
      f"data.batch_size {batch_size} cannot be divided among {mesh.size} devices; "
      f"the nearest that can is {near}"
    )


def shard(batch: Any, mesh: Mesh) -> Any:
  """Returns a host's batch on the devices, cut along its first axis."""
  place = split(mesh)
  return jax.tree.map(lambda a: jax.make_array_from_process_local_data(place, a), batch)


def compile_step(step: Callable, mesh: Mesh, donate: bool = False) -> Callable:
  """Returns step(state, batch) compiled for the mesh: state whole on each device, batch cut."""
  return jax.jit(
    step,
    in_shardings=(replicated(mesh), split(mesh)),
    out_shardings=replicated(mesh),
    donate_argnums=(0,) if donate else (),
  )


def compile_once(function: Callable, mesh: Mesh) -> Callable:
  """Returns function(key) compiled for a single call: its result stands whole on each device.

  On the CPU LLVM's optimiser takes most of the time (LeNet-5's first variables: 3.3 s with it, 0.8
  without), which no single call earns back.
  """
  cpu = mesh.devices.flat[0].platform == "cpu"
  options = {"xla_backend_optimization_level": 0} if cpu else None
  return jax.jit(function, out_shardings=replicated(mesh), compiler_options=options)
