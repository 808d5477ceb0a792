"""Several processes as one run: they connect, agree when to stop, and one of them writes."""

import ctypes
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax.experimental import multihost_utils

from cnnjax.errors import UserError

LOST_AFTER = 60  # seconds without a heartbeat after which a process counts as lost


_handlers = []  # of aborts: ctypes frees a function that nothing refers to


class Stopped(Exception):
  """The run got SIGTERM, has saved its state, and stops."""


def connect(coordinator: str = "", processes: int = 0, process: int = -1) -> None:
  """Connects this process with the others of a run.

  Without arguments JAX reads them from the environment of Slurm, GKE or a TPU pod.

  Args:
    coordinator: host:port of process 0, which all processes can reach.
    processes: how many there are.
    process: the number of this process, from 0.

  Raises: UserError where they cannot connect.
  """
  given = (bool(coordinator), processes > 0, process >= 0)
  if any(given) and not all(given):
    raise UserError("several processes need all of --coordinator, --processes and --process")
  if any(given) and not process < processes:
    raise UserError(f"--process must be below --processes {processes}, found {process}")
  where = (coordinator, processes, process) if any(given) else ()
  try:
    jax.distributed.initialize(*where, heartbeat_timeout_seconds=LOST_AFTER)
    jax.devices()  # raises where this host's own name has no address
  except (ValueError, RuntimeError) as error:
    raise UserError(
      f"the processes do not find each other: {str(error).splitlines()[0]}"
    ) from error


def on_abort(act: Callable[[], None]) -> None:
  """Calls a function, which must end the process, where jaxlib aborts it.

  So jaxlib ends a process whose process 0 is lost, or which waits for one without a heartbeat. A
  handler of Python would be called by the main thread, which may be waiting itself; this one is
  called by the thread that aborts. Windows has none.
  """
  if os.name == "posix":
    _handlers.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: act()))
    ctypes.CDLL(None).signal(signal.SIGABRT, _handlers[-1])


def is_primary() -> bool:
  """Returns whether this process is the one that writes files and prints."""
  return jax.process_index() == 0


def on_primary(function: Callable[[], Any]) -> None:
  """Calls a function on the primary process only, once all have come here; they wait for it.

  Raises: on the primary process what the function raised; on the others UserError.
  """
  failure = None
  if jax.process_count() > 1:  # so that none sees what is about to be written
    multihost_utils.sync_global_devices("on_primary")
  if is_primary():
    try:
      function()
    except Exception as error:
      failure = error
  if jax.process_count() > 1 and multihost_utils.broadcast_one_to_all(failure is not None):
    failure = failure or UserError("process 0 has stopped; its message says why")
  if failure:
    raise failure


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
  """Yields stop(), which returns whether SIGTERM has come.

  All processes get the same result from their n-th call.
  """
  if jax.process_count() > 1:  # JAX sees the signal on any process, and agrees on a common step
    calls = itertools.count()
    yield lambda: multihost_utils.reached_preemption_sync_point(next(calls))
    return
  came = threading.Event()
  if threading.current_thread() is not threading.main_thread():  # only it may handle signals
    yield lambda: False
    return

  def hear(number, frame):
    came.set()
    signal.signal(signal.SIGTERM, before)  # a second SIGTERM ends the process at once

  before = signal.signal(signal.SIGTERM, hear)
  try:
    yield lambda: came.is_set()
  finally:
    signal.signal(signal.SIGTERM, before)
