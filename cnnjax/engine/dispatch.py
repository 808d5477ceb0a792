"""Several training steps in one call to the device, on data that lie in the device's memory."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.data import pipeline
from cnnjax.data.table import Table
from cnnjax.engine.compiler import compile_step
from cnnjax.engine.mesh import replicated
from cnnjax.errors import UserError

MANY = 50  # steps of one call: enough to make calls rare, few enough to stop soon after SIGTERM
ROOM = 0.25  # part of a device's memory that the data may fill

Many = Callable[[Any, int, int], tuple[Any, dict[str, Any], int]]


def steps_per_dispatch(asked: int, table: Table, mesh: Mesh) -> int:
  """Returns how many steps one call takes: the requested number, or for 0 a number by device.

  On the CPU that is 1, since XLA's loops are slower there (docs/performance.md has the cost). On an
  accelerator it is `MANY` where the table fits into the part `ROOM` of its memory, else 1. For a
  streamed table it is 1.

  Raises: UserError for many steps of a streamed table, which does not lie on the device.
  """
  if table.streamed:
    if asked > 1:
      raise UserError(
        f"train.steps_per_dispatch {asked} needs the images in the device's memory; leave it at 0, "
        "or 'stream' out of data.arguments"
      )
    return 1
  device = mesh.devices.flat[0]
  if asked or device.platform == "cpu":
    return asked or 1
  room = ROOM * ((device.memory_stats() or {}).get("bytes_limit") or np.inf)
  return MANY if sum(column.nbytes for column in table.columns.values()) <= room else 1


def many(
  step: Callable,
  table: Table,
  indices: pipeline.ByStep,
  mesh: Mesh,
  sharding: Any,
  limit: int,
  more: Mapping[str, pipeline.ByStep] = {},
  **options: Any,
) -> Many:
  """Returns many(state, at, most) -> (state, logs, count): steps `at` + 1 to `at` + count.

  Each device holds the whole table, and each step gathers its batch there. The logs have a leading
  axis of length `limit`, of which the first `count` entries are filled; `count` is at most `most`.

  Args:
    step: (state, batch) -> (state, logs), pure.
    table: of the training examples.
    indices: step -> indices of its examples, from `pipeline.train_indices`.
    mesh: of devices.
    sharding: of the state, from `state_sharding`.
    limit: largest number of steps of one call.
    more: columns of the batches, as for `pipeline.Batches`.
    options: of `compile_step`.
  """
  whole, rows = replicated(mesh), NamedSharding(mesh, PartitionSpec(None, "data"))

  def steps(state, columns, chosen, count):
    def body(index, carry):
      state, all_logs = carry
      state, logs = step(state, batch(index))
      return state, jax.tree.map(lambda a, v: a.at[index].set(v), all_logs, logs)

    def batch(index):
      return pipeline.gather(columns, **{name: rows[index] for name, rows in chosen.items()})

    _, shapes = jax.eval_shape(step, state, jax.eval_shape(batch, 0))
    empty = jax.tree.map(lambda s: jnp.zeros((limit, *s.shape), s.dtype), shapes)
    return jax.lax.fori_loop(0, count, body, (state, empty))  # any count, compiled once

  compiled = compile_step(steps, mesh, sharding, inputs=(whole, rows, whole), **options)
  columns = {
    key: jax.make_array_from_callback(column.shape, whole, lambda part, c=column: c[part])
    for key, column in table.columns.items()
  }

  by_step = {"indices": lambda step: indices(step).astype(np.int32), **more}

  def stacked(column, at, count):
    some = [column(at + i) for i in range(count)]
    some += [some[0]] * (limit - count)
    return jax.make_array_from_process_local_data(rows, np.stack(some))

  def advance(state, at, most):
    count = min(limit, most)
    chosen = {name: stacked(column, at, count) for name, column in by_step.items()}
    return *compiled(state, columns, chosen, np.int32(count)), count

  return advance
