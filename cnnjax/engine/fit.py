"""The training loop, in which everything that happens every N steps is an `if` in `fit`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from cnnjax import tasks
from cnnjax.checkpoints.store import Store
from cnnjax.data import inputs, pipeline
from cnnjax.data.table import Table
from cnnjax.engine import dispatch, optim, penalty, state
from cnnjax.engine.compiler import compile_once, compile_step
from cnnjax.engine.config import build
from cnnjax.engine.evaluate import evaluate, evaluator, traced
from cnnjax.engine.hosts import Stopped, is_primary, stop_requested
from cnnjax.engine.log import Diverged, Log
from cnnjax.engine.mesh import (
  across,
  check_batch,
  check_space,
  local_rows,
  make_mesh,
  shard,
  state_sharding,
)
from cnnjax.engine.run import open_store, tell_edits
from cnnjax.engine.step import train_step
from cnnjax.errors import UserError, unknown
from cnnjax.metrics.weights import zeros

PROFILE = (9, 15)  # steps of this process after which a profiler's trace begins and ends


class Plan(NamedTuple):
  """All parts of a training that a config describes, checked, before anything is computed.

  Attributes:
    model: with the run's preprocessing.
    task: of `tasks`.
    mesh: of devices.
    fresh: key -> the state before the first step.
    shapes: of that state.
    sharding: the sharding of each of its leaves.
    batches: k -> the training batch of step k.
    step: (state, batch) -> (state, logs), compiled for the mesh.
    many: (state, at, most) -> (state, logs, count): at most `most` steps by one call to the device;
      None where each step is a call of its own.
    sums: (variables, batch) -> the sums of the metrics, compiled for the mesh.
    rate: step -> learning rate.
    steps: of the whole run.
    steps_per_epoch: examples over batch size.
    evaluations: the steps after which the watched split is scored.
  """

  model: Any
  task: tasks.Task
  mesh: Mesh
  fresh: Callable
  shapes: state.State
  sharding: state.State
  batches: pipeline.Batches
  step: Callable
  many: dispatch.Many | None
  sums: Callable
  rate: optax.Schedule
  steps: int
  steps_per_epoch: float
  evaluations: frozenset[int]


def plan(config: Any, splits: dict[str, Table]) -> Plan:
  """Returns the plan of a training, before anything is written.

  Args:
    config: completed by `config.complete`.
    splits: prepared for the network.

  Raises: UserError for anything in the config that does not fit the model, the data or the devices.
  """
  batch_size, train = config.data.batch_size, config.train
  mesh = make_mesh(config.mesh.devices, config.mesh.space)
  check_batch(batch_size, mesh)
  if batch_size % (train.accumulate * mesh.shape["data"]):
    raise UserError(
      f"train.accumulate {train.accumulate} cannot cut data.batch_size {batch_size} into equal "
      f"parts on {mesh.shape['data']} devices"
    )
  table = splits["train"]
  rows, sampling = local_rows(batch_size, mesh), config.data.sampling
  indices = pipeline.train_indices(table, batch_size, config.seed, rows, sampling)
  per_epoch = len(table) / batch_size
  steps, evaluations = _length(config, per_epoch)

  model = build(config)
  task = tasks.task(**config.task, model=model)
  empty = partial(inputs.empty, model.preprocessing)
  made = jax.eval_shape(lambda key: model.init(key, empty(), train=False), jax.random.key(0))
  optim.check(config.optim, made["params"])
  rate = optim.schedule(config.optim, per_epoch, steps)
  optimizer = optim.optimizer(config.optim, rate, per_epoch)
  check_space(inputs.empty(model.preprocessing), mesh)
  step = partial(_step(config, model, task, optimizer, steps), across=partial(across, mesh=mesh))

  def fresh(key):
    variables = model.init(key, empty(), train=False)
    return state.create(variables, optimizer, bool(train.ema))

  shapes, sums = jax.eval_shape(fresh, jax.random.key(0)), evaluator(model, task, mesh)
  sharding = state_sharding(shapes, mesh, config.mesh.parameters)
  options = dict(donate=True, deterministic=config.mesh.deterministic)
  compiled = compile_step(step, mesh, sharding, **options)
  more = {}
  if config.augment.get("alternate_flip"):
    more["turned"] = pipeline.train_mirrored(table, indices, batch_size, config.seed, rows)
  if any(map(pipeline.draws, table.columns.values())):
    more["epoch"] = pipeline.train_epochs(table, batch_size, rows)
  batches = pipeline.Batches(table, indices, more)
  limit = dispatch.steps_per_dispatch(train.steps_per_dispatch, table, mesh)
  many = None
  if limit > 1:
    many = dispatch.many(step, table, indices, mesh, sharding, limit, more, **options)
  batch = jax.tree.map(
    lambda a: jax.ShapeDtypeStruct((batch_size, *a.shape[1:]), a.dtype), batches.make(0)
  )
  jax.eval_shape(compiled, shapes, batch)
  metrics = _metric_names(task, jax.eval_shape(traced(model, task), shapes.variables, batch))
  if config.checkpoint.best and config.checkpoint.best not in metrics:
    raise unknown("checkpoint.best", config.checkpoint.best, metrics)
  if train.watch and train.watch not in splits:
    hint = "; data.validation is 0" if train.watch == "validation" else ""
    raise UserError(f"{unknown('train.watch', train.watch, splits)}{hint}")
  return Plan(
    model=model,
    task=task,
    mesh=mesh,
    fresh=fresh,
    shapes=shapes,
    sharding=sharding,
    batches=batches,
    step=compiled,
    many=many,
    sums=sums,
    rate=rate,
    steps=steps,
    steps_per_epoch=per_epoch,
    evaluations=evaluations,
  )


def _length(config: Any, per_epoch: float) -> tuple[int, frozenset[int]]:
  """Returns the run's number of steps, and the steps after which the watched split is scored."""
  train = config.train
  steps = round(train.epochs * per_epoch)
  if not train.epochs and config.init.source:  # a run of weights as they are
    return 0, frozenset()
  if steps < 1:
    size = config.data.batch_size
    raise UserError(f"train.epochs {train.epochs} makes no step of {size} examples")
  every = train.evaluate_every * per_epoch
  some = {round(i * every) for i in range(1, int(steps / every) + 1)} if every else set()
  return steps, frozenset(some | {steps})


def _step(config: Any, model: Any, task: tasks.Task, optimizer: Any, steps: int) -> Callable:
  """Returns (state, batch) -> (state, logs), `train_step` with the config's settings bound."""
  rows, penalised = config.optim.penalties, config.optim.penalties and not config.optim.decoupled
  return partial(
    train_step,
    model=model,
    inputs=task.inputs,
    loss=task.loss,
    transform=partial(
      inputs.transform,
      preprocessing=model.preprocessing,
      options={**config.augment, "classes": config.model.num_classes},
    ),
    optimizer=optimizer,
    seed=config.seed,
    ema=config.train.ema,
    lookahead=config.train.lookahead,
    steps=steps,
    accumulate=config.train.accumulate,
    penalty=partial(penalty.penalty, rows=rows) if penalised else None,
    hold=partial(optim.hold, rows=config.optim.rates),
    frozen=("batch_stats",) if config.init.frozen_statistics else (),
  )


def fit(
  job: Plan,
  config: Any,
  splits: dict[str, Table],
  folder: str | Path,
  *,
  start: dict[str, Any] | None = None,
  profile: bool = False,
  test: bool = True,
) -> dict[str, Any]:
  """Trains to the end, from the folder's newest checkpoint where there is one.

  A run of no steps, with train.epochs 0, holds the variables that it begins with.

  With `train.patience` the training also ends after so many evaluations in a row that are not
  better than the best one before, and the result is the best checkpoint.

  Args:
    job: of `plan`.
    config: that the plan was made from.
    splits: that the plan was made from.
    folder: of the run, opened by `run.open_folder`.
    start: variables to begin with, in place of fresh ones.
    profile: whether to write a profiler's trace of some early steps into the folder.
    test: whether to score the test split; False where further stages follow this training.

  Returns: the figures of the final variables (of their moving average where one is kept) on the
    test split, and the part of their weights that are zero.

  Raises: UserError where the loss diverges, with the last good checkpoint kept; Stopped after
    SIGTERM, once the state is saved.
  """
  folder, watch, every = Path(folder), config.train.watch, config.checkpoint.every

  def figures_of(now: state.State, split: str) -> dict[str, Any]:
    size = config.data.batch_size
    batches = pipeline.eval_batches(splits[split], size, local_rows(size, job.mesh))
    return job.task.summarise(evaluate(job.sums, now.ema or now.variables, batches, job.mesh))

  def notes_of(log: Log) -> dict[str, Any]:
    return {**log.notes(), "scores": scores, "config": config.to_dict()}

  with open_store(folder, config) as store:
    now, notes, scores = _begin(job, config.seed, store, start)
    begun = step = int(now.step)
    if notes and is_primary():
      tell_edits(folder, config, begun, notes)
    log = Log(
      folder,
      start=begun,
      steps=job.steps,
      steps_per_epoch=job.steps_per_epoch,
      batch_size=config.data.batch_size,
      every=config.train.log_every,
      rate=job.rate,
      notes=notes,
      writes=is_primary(),
    )
    tracing = _trace(log, folder if profile and is_primary() else None)
    with log, tracing as trace, stop_requested() as stop:
      if 0 < begun <= job.steps:  # beyond it further stages have been trained
        log.say(f"goes on from step {begun} of {job.steps}")
      if not job.steps and not store.steps():
        store.save(0, now, {}, notes_of(log))
      try:
        while step < job.steps and not _in_vain(scores, config):
          if job.many:
            now, logs, count = job.many(now, step, _until_due(step, job, config))
          else:
            now, logs = job.step(now, shard(job.batches(step), job.mesh))
            count = 1
          step += count
          trace(step - begun, now)
          log.step(step, logs, count)
          stopped = stop()
          if stopped or step in job.evaluations or (every and step % every == 0):
            log.check()  # raises where a loss or an update was not finite: nothing is saved then
            if step == job.steps:
              log.row(step)
            figures = {}
            if watch and step in job.evaluations:
              figures = figures_of(now, watch)
              log.evaluation(step, watch, figures)
              scores.append(figures.get(config.checkpoint.best))
            store.save(step, now, figures, notes_of(log))
            if stopped:
              store.wait()
              raise Stopped(f"stopped after step {step} of {job.steps}, which is saved")
      except Diverged as error:
        kept = f"step {store.steps()[-1]}" if store.steps() else "none"
        raise UserError(
          f"{error}; the run stops, its last good checkpoint is {kept}; "
          "try a lower optim.learning_rate, or set optim.clip_norm"
        ) from error
      finally:
        job.batches.close()
      store.wait()  # the row below marks the run as finished, so its checkpoint must be on disk
      if config.train.patience:
        best = store.find("best")
        now = store.restore(best, job.shapes, job.sharding)
        log.say(f"ended after step {step} of {job.steps}; the best is step {best}")
      if not test:
        return {}
      figures = figures_of(now, "test")
      figures["zero_weights"] = float(zeros((now.ema or now.variables)["params"]))
      log.evaluation(step, "test", figures)
      log.sync()
  return figures


def _in_vain(scores: list[float], config: Any) -> bool:
  """Returns whether `train.patience` is used up: so many scores came after the best one."""
  if not config.train.patience or not scores:
    return False
  sign = 1 if config.checkpoint.mode == "max" else -1
  ranked = [-np.inf if np.isnan(score) else sign * score for score in scores]
  return len(ranked) - 1 - int(np.argmax(ranked)) >= config.train.patience


def _until_due(step: int, job: Plan, config: Any) -> int:
  """Returns the number of steps until a row, a checkpoint or an evaluation is due."""
  every = (n for n in (config.train.log_every, config.checkpoint.every) if n)
  return min(*(n - step % n for n in every), min(e for e in job.evaluations if e > step) - step)


def _begin(
  job: Plan, seed: int, store: Store, start: dict[str, Any] | None
) -> tuple[state.State, Any, list[float]]:
  """Returns the newest saved state on the mesh, the log's notes and the scores so far.

  Without a checkpoint it returns a fresh state (with the variables `start` where they are given),
  None and no scores.
  """
  if store.steps():
    step = store.find("latest")
    notes = store.notes(step)
    return store.restore(step, job.shapes, job.sharding), notes, notes.pop("scores", [])
  now = compile_once(job.fresh, job.sharding)(jax.random.key(seed))
  if start:
    own = jax.tree.map(lambda v, s: np.asarray(v, s.dtype), start, job.shapes.variables)
    own = jax.device_put(own, job.sharding.variables)
    copies = (jax.tree.map(jnp.copy, own) for _ in range(2))  # the step may overwrite them
    now = replace(now, variables=next(copies), ema=next(copies) if now.ema else {})
  return now, None, []


@contextmanager
def _trace(log: Log, folder: Path | None) -> Iterator[Callable]:
  """Yields trace(count, state), to call after `count` steps; it profiles the steps of `PROFILE`."""
  done, begun, ended = 0, None, False

  def stop(now=None):
    nonlocal ended
    jax.block_until_ready(now)
    jax.profiler.stop_trace()
    log.say(f"wrote a trace of steps {begun + 1} to {done} to {folder / 'profile'}")
    ended = True

  def trace(count: int, now: state.State) -> None:
    nonlocal done, begun
    done = count
    if folder and begun is None and count >= PROFILE[0]:
      jax.profiler.start_trace(str(folder / "profile"))
      begun = count
    elif folder and begun is not None and not ended and count >= PROFILE[1]:
      stop(now)

  try:
    yield trace
  finally:
    if folder and begun is not None and not ended:
      stop()
    elif folder and begun is None:
      log.say(f"wrote no trace: it begins after step {PROFILE[0]}, and there were only {done}")


def _metric_names(task: tasks.Task, sums: Any) -> list[str]:
  ones = jax.tree.map(lambda s: np.ones(s.shape, s.dtype), sums)
  return sorted(k for k, v in task.summarise(ones).items() if isinstance(v, int | float))
