"""Many steps by one call to the device, on data that lie there."""

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

MANY = 50  # steps: few calls, yet an end soon after SIGTERM
ROOM = 0.25  # of a device's memory that data may fill

Many = Callable[[Any, int, int], tuple[Any, dict[str, Any], int]]


def steps_per_dispatch(asked: int, table: Table, mesh: Mesh) -> int:
  """Returns how many steps one call takes: what was asked for, or for 0 what suits the device.

  On the CPU one: XLA's loops there are slower (docs/performance.md has the cost). On an
  accelerator `MANY`, where the table leaves its memory the room. One where the table is streamed.

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
  places: pipeline.ByStep,
  mesh: Mesh,
  place: Any,
  limit: int,
  more: Mapping[str, pipeline.ByStep] = {},
  **options: Any,
) -> Many:
  """Returns many(state, at, most) -> (state, logs, count): steps `at` + 1 to `at` + count.

  The table lies whole on each device, and each step gathers its batch there. Logs have a leading
  axis of `limit`, of which the first `count` places are filled; `count` is at most `most`.

  Args:
    step: (state, batch) -> (state, logs), pure.
    table: of the training examples.
    places: of `pipeline.train_places`.
    mesh: of devices.
    place: of the state, of `placement`.
    limit: most steps a call takes.
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

  compiled = compile_step(steps, mesh, place, inputs=(whole, rows, whole), **options)
  columns = {
    key: jax.make_array_from_callback(column.shape, whole, lambda part, c=column: c[part])
    for key, column in table.columns.items()
  }

  by_step = {"places": lambda step: places(step).astype(np.int32), **more}

  def stacked(column, at, count):
    some = [column(at + i) for i in range(count)]
    some += [some[0]] * (limit - count)
    return jax.make_array_from_process_local_data(rows, np.stack(some))

  def advance(state, at, most):
    count = min(limit, most)
    chosen = {name: stacked(column, at, count) for name, column in by_step.items()}
    return *compiled(state, columns, chosen, np.int32(count)), count

  return advance
