"""The speed of a whole `fit` compared with that of its bare compiled step."""

import io
import tempfile
from collections import deque
from contextlib import redirect_stdout
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.engine import log
from cnnjax.engine.compiler import compile_once
from cnnjax.engine.mesh import shard
from cnnjax.engine.record import read_rows
from cnnjax.engine.run import open_folder

from .turns import Contestant, as_text, clock, ratio, take_turns

EXAMPLES = 12_800  # number of examples, where the config's data are generated
SHARE = 0.9  # part of the bare step's speed below which the parts are timed separately


def path_job(config: Any, batch_size: int, steps: int) -> tuple[Any, Any, Any]:
  """Returns plan, config and splits of a run with `steps` steps between its first and last row."""
  from cnnjax.engine.config import resolve
  from cnnjax.engine.fit import plan

  config = config.copy_and_resolve_references()
  with config.unlocked():
    if config.data.name == "fake":
      config.data.arguments = {"examples": EXAMPLES, **config.data.arguments}
    config.data.batch_size = batch_size
    config.train.log_every, config.checkpoint.every = steps // 4, steps // 2
    config.train.evaluate_every = 0.0
  config, splits = resolve(config)
  with config.unlocked():
    config.train.epochs = 5 * (steps // 4) * batch_size / len(splits["train"])
  return plan(config, splits), config, splits


def fit_turn(job: Any, config: Any, splits: Any) -> float:
  """Returns the images per second of a run in a new folder, between first and last training row."""
  from cnnjax.engine.fit import fit

  with tempfile.TemporaryDirectory() as parent, redirect_stdout(io.StringIO()):
    folder = Path(parent) / "run"
    open_folder(folder, config)
    fit(job, config, splits, folder)
    rows = [row for row in read_rows(folder / "metrics.jsonl") if row["split"] == "train"]
  steps, seconds = (rows[-1][key] - rows[0][key] for key in ("step", "seconds"))
  return config.data.batch_size * steps / seconds


def loop(job: Any, now: Any, parts: int) -> Contestant:
  """Returns the plan's step with the first `parts` of: gather, transfer, reading of logs."""
  now = jax.tree.map(jnp.copy, now)  # the first step overwrites the state that it gets
  batches = copy(job.batches)  # own reading ahead, which other turns do not interrupt
  kept, place, waiting = shard(batches.make(0), job.mesh), 0, deque()

  def advance():
    nonlocal now, place
    place += 1
    batch = batches(place) if parts > 0 else None
    now, logs = job.step(now, shard(batch, job.mesh) if parts > 1 else kept)
    waiting.append(logs)
    if len(waiting) > log.LAG:
      late = waiting.popleft()
      if parts > 2:
        jax.device_get(late)
    return logs

  return Contestant(advance)


def path(config: Any, batch_size: int, steps: int, rounds: int) -> dict[str, Any]:
  """Prints and returns the speed of `fit` as a share of the bare step's.

  Where the share is below `SHARE`, it also times the parts of `fit`.

  Raises: UserError for anything that is wrong in the config.
  """
  job, config, splits = path_job(config, batch_size, steps)
  fresh = compile_once(job.fresh, job.sharding)(jax.random.key(config.seed))
  light = config.copy_and_resolve_references()
  with light.unlocked():
    light.checkpoint.every = 0

  def turn(parts):
    contestant = loop(job, fresh, parts)
    clock(contestant, 2)
    return lambda: batch_size * steps / clock(contestant, steps)

  timers = {"bare step": turn(0), "fit": partial(fit_turn, job, config, splits)}
  rates = take_turns(timers, rounds)
  share = ratio(rates["fit"], rates["bare step"])
  if share["median"] < SHARE:
    timers = {
      "bare step": timers["bare step"],
      "+ batches gathered": turn(1),
      "+ batches moved to the device": turn(2),
      "+ logs read": turn(3),
      "+ rows and TensorBoard (fit)": partial(fit_turn, job, light, splits),
      "+ checkpoints (fit)": timers["fit"],
    }
    rates = take_turns(timers, rounds)
  rows = {
    name: {
      "images/s": f"{np.median(rate):,.0f}",
      "ms a step": f"{1e3 * batch_size / np.median(rate):.2f}",
      "of the bare step": as_text(ratio(rate, rates["bare step"])),
    }
    for name, rate in rates.items()
  }
  log.grid(f"{config.model.name}, whole path, batch {batch_size}", rows)
  print(f"fit keeps {as_text(share)} of the bare step's speed")
  return {"model": config.model.name, "batch": batch_size, "share": share, "rounds": rates}
