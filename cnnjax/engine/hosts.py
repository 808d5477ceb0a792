"""Several processes as one run: finding each other, agreeing, one of them writing."""

import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax.experimental import multihost_utils

from cnnjax.errors import UserError

LOST_AFTER = 60  # seconds without a sign of life after which a process counts as lost


class Stopped(Exception):
  """The run was asked to stop, and has saved."""


def connect(coordinator: str = "", processes: int = 0, process: int = -1) -> None:
  """Makes this process one of several; without arguments as Slurm, GKE or a TPU pod has it.

  Args:
    coordinator: host:port of process 0, reached by all.
    processes: how many there are.
    process: which of them this is, from 0.

  Raises: UserError where they do not find each other.
  """
  given = (bool(coordinator), processes > 0, process >= 0)
  if any(given) and not all(given):
    raise UserError("several processes need all of --coordinator, --processes and --process")
  if any(given) and not process < processes:
    raise UserError(f"--process must be below --processes {processes}, found {process}")
  where = (coordinator, processes, process) if any(given) else ()
  try:
    jax.distributed.initialize(*where, heartbeat_timeout_seconds=LOST_AFTER)
  except (ValueError, RuntimeError) as error:
    raise UserError(
      f"the processes do not find each other: {str(error).splitlines()[0]}"
    ) from error


def is_primary() -> bool:
  """Whether this process is the one that writes."""
  return jax.process_index() == 0


def by_primary(function: Callable[[], Any]) -> None:
  """Calls a function on the primary process, and returns on all once it is done.

  Raises: what it raised, on the primary; UserError on the others.
  """
  failure = None
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
def asked_to_stop() -> Iterator[Callable[[], bool]]:
  """Yields stop(): whether SIGTERM has come, the same answer at the same call on all processes."""
  if jax.process_count() > 1:  # jax hears the signal on any process, and finds a common step
    calls = itertools.count()
    yield lambda: multihost_utils.reached_preemption_sync_point(next(calls))
    return
  came = threading.Event()
  if threading.current_thread() is not threading.main_thread():  # only it may hear signals
    yield lambda: False
    return

  def hear(number, frame):
    came.set()
    signal.signal(signal.SIGTERM, before)  # a second one is not asked to wait

  before = signal.signal(signal.SIGTERM, hear)
  try:
    yield lambda: came.is_set()
  finally:
    signal.signal(signal.SIGTERM, before)
