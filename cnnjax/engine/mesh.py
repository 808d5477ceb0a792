"""The mesh of devices, and how arrays are sharded over it."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.errors import UserError, unknown

PARAMETERS = ("replicated", "sharded")


def make_mesh(devices: int = 0, space: int = 1) -> Mesh:
  """Returns a mesh of so many devices (0: all) along the axis `data`.

  With `space` above 1 there is a second axis of this name: so many devices share each example.

  Raises: UserError where the machine has fewer devices, or `space` does not divide them.
  """
  have = jax.devices()
  if devices > len(have):
    raise UserError(f"mesh.devices is {devices}, but this machine has {len(have)}: {have}")
  if devices % len(have) and jax.process_count() > 1:
    raise UserError(f"mesh.devices must be 0 with several processes, found {devices}")
  chosen = np.array(have[: devices or None])
  if len(chosen) % space:
    raise UserError(f"mesh.space {space} does not divide the {len(chosen)} devices")
  if space > 1:
    return Mesh(chosen.reshape(-1, space), ("data", "space"))
  return Mesh(chosen, ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding in which each device holds the whole array."""
  return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
  """Returns the sharding in which each device holds its part of the first axis."""
  return NamedSharding(mesh, PartitionSpec("data"))


def across(batch: Any, mesh: Mesh) -> Any:
  """Returns a batch, inside a step, with examples divided among the devices that share them.

  Arrays of four axes and more are cut along their second, the first one of space: the height of
  images, the depth of volumes. XLA exchanges what convolutions need of the neighbours' parts.
  """
  if "space" not in mesh.axis_names:
    return batch
  cut = NamedSharding(mesh, PartitionSpec("data", "space"))
  place = lambda a: jax.lax.with_sharding_constraint(a, cut) if a.ndim > 3 else a  # noqa: E731
  return jax.tree.map(place, batch)


def state_sharding(shapes: Any, mesh: Mesh, parameters: str) -> Any:
  """Returns the sharding of each leaf of a state.

  Args:
    shapes: of the state.
    mesh: of devices.
    parameters: "replicated": each device holds the whole state; "sharded": a leaf is split along
      the longest of its dimensions that the number of devices divides, so that each device holds
      its part of the parameters, their averages and the optimiser's state (fully sharded data
      parallelism).

  Raises: UserError for another word.
  """
  if parameters not in PARAMETERS:
    raise unknown("mesh.parameters", parameters, PARAMETERS)

  def sharding(leaf):
    sizes = [n for n in leaf.shape if n % mesh.shape["data"] == 0]
    if parameters == "replicated" or not sizes:
      return replicated(mesh)
    axis = leaf.shape.index(max(sizes))
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))

  return jax.tree.map(sharding, shapes)


def local_rows(batch_size: int, mesh: Mesh) -> np.ndarray:
  """Returns the rows of a batch that this process's devices hold, in their order."""
  parts = split(mesh).addressable_devices_indices_map((batch_size,)).values()
  return np.unique(np.concatenate([np.arange(batch_size)[part] for part in parts]))


def check_batch(batch_size: int, mesh: Mesh) -> None:
  """Raises: UserError for a batch size that the number of devices does not divide."""
  count = mesh.shape["data"]
  if batch_size % count or batch_size < 1:
    near = max(1, round(batch_size / count)) * count
    raise UserError(
      f"data.batch_size {batch_size} cannot be divided among {count} devices; "
      f"the nearest that can is {near}"
    )


def check_space(example: Any, mesh: Mesh) -> None:
  """Raises: UserError for examples [1, S, ...] that devices cannot share in equal parts."""
  count = mesh.shape.get("space", 1)
  for side in (a.shape[1] for a in jax.tree.leaves(example) if a.ndim > 3):
    if side % count:
      raise UserError(
        f"mesh.space {count} does not divide the first side of an example, {side}; expected a "
        f"multiple of {count}, such as {-(-side // count) * count}"
      )


def shard(batch: Any, mesh: Mesh) -> Any:
  """Returns a host's batch on the devices, split along its first axis."""
  sharding = split(mesh)
  if jax.process_count() == 1:
    return jax.device_put(batch, sharding)  # takes two thirds of the time of the general way below
  return jax.tree.map(lambda a: jax.make_array_from_process_local_data(sharding, a), batch)
