"""The training loop: every "each N steps" is an `if` that you can see."""

from functools import partial
from pathlib import Path
from typing import Any

import jax

from cnnjax import tasks
from cnnjax.data import pipeline
from cnnjax.data.augment import augment
from cnnjax.data.table import Table
from cnnjax.engine import optim, state
from cnnjax.engine.config import build, example
from cnnjax.engine.evaluate import evaluate, evaluator
from cnnjax.engine.log import Diverged, Log
from cnnjax.engine.mesh import check_batch, compile_step, make_mesh, replicated, shard
from cnnjax.engine.run import open_store
from cnnjax.engine.step import train_step
from cnnjax.errors import UserError

PROFILE = (10, 15)  # the steps of a trace


def total_steps(config: Any, splits: dict[str, Table]) -> int:
  """Returns how many updates a run makes: epochs times examples over batch size."""
  return max(1, round(config.train.epochs * len(splits["train"]) / config.data.batch_size))


def fit(
  config: Any, splits: dict[str, Table], folder: str | Path, *, profile: bool = False
) -> dict[str, Any]:
  """Trains what a config says, from the folder's newest checkpoint if it has one, to the end.

  Args:
    config: completed by `run.complete`.
    splits: with images as the network wants them.
    folder: of the run, opened by `run.open_folder`.
    profile: whether to write a trace of steps 10 to 15 into the folder.

  Returns: the figures of the final variables (the average, where one is kept) on the test split.

  Raises: UserError where the config does not fit the data or the devices, or the loss diverges.
  """
  folder, batch_size = Path(folder), config.data.batch_size
  mesh = make_mesh(config.mesh.devices)
  check_batch(batch_size, mesh)
  if batch_size % config.train.accumulate:
    raise UserError(
      f"train.accumulate {config.train.accumulate} does not divide data.batch_size {batch_size}"
    )
  watch = config.train.watch
  if watch and watch not in splits:
    raise UserError(f"train.watch is {watch!r}, but the splits are {sorted(splits)}")

  model, task = build(config), tasks.task(config.task.name)
  batches = pipeline.train_batches(splits["train"], batch_size, config.seed)
  per_epoch, steps = len(splits["train"]) / batch_size, total_steps(config, splits)
  rate = optim.schedule(config.optim, per_epoch, steps)
  optimizer = optim.optimizer(config.optim, rate)
  step_fn = compile_step(
    partial(
      train_step,
      model=model,
      inputs=task.inputs,
      loss=partial(task.loss, **_arguments(config.task)),
      transform=partial(_transform, preprocessing=model.preprocessing, options=config.augment),
      optimizer=optimizer,
      seed=config.seed,
      ema=config.train.ema,
      accumulate=config.train.accumulate,
    ),
    mesh,
    donate=True,
  )
  sums_of = evaluator(model, task, mesh)

  def figures_of(now: state.State, split: str) -> dict[str, Any]:
    rows = pipeline.eval_batches(splits[split], batch_size)
    return task.summarise(evaluate(sums_of, now.ema or now.variables, rows, mesh))

  every = config.train.evaluate_every * per_epoch
  evaluations = {round(i * every) for i in range(1, int(steps / every) + 1)} if every else set()

  with open_store(folder, config) as store:
    now = _begin(config, model, optimizer, store, mesh)
    start = int(now.step)
    with Log(
      folder,
      start=start,
      steps=steps,
      steps_per_epoch=per_epoch,
      batch_size=batch_size,
      every=config.train.log_every,
      rate=rate,
    ) as log:
      if start:
        log.say(f"goes on from step {start} of {steps}")
      try:
        for step in range(start + 1, steps + 1):
          if profile and step == start + PROFILE[0]:
            jax.profiler.start_trace(str(folder / "profile"))
          now, logs = step_fn(now, shard(batches(step - 1), mesh))
          log.step(step, logs)
          if profile and step == start + PROFILE[1]:
            jax.block_until_ready(now)
            jax.profiler.stop_trace()
          evaluates = step in evaluations or step == steps
          if evaluates or (config.checkpoint.every and step % config.checkpoint.every == 0):
            log.row(step)  # raises where the state is not worth saving
            figures = {}
            if evaluates and watch:
              figures = figures_of(now, watch)
              log.evaluation(step, watch, figures)
            store.save(step, now, figures)
      except Diverged as error:
        kept = store.steps()
        raise UserError(
          f"{error}; the run stops, its last good checkpoint is "
          f"{f'step {kept[-1]}' if kept else 'none'}; try a lower optim.learning_rate or set "
          "optim.clip_norm"
        ) from error
      figures = figures_of(now, "test")
      log.evaluation(steps, "test", figures)
      store.wait()
  return figures


def _begin(config, model, optimizer, store, mesh) -> state.State:
  """Returns the newest saved state on the mesh, or a fresh one."""

  def fresh(key):
    variables = model.init(key, example(model), train=False)
    return state.create(variables, optimizer, bool(config.train.ema))

  key = jax.random.key(config.seed)
  if store.steps():
    return store.restore(store.steps()[-1], jax.eval_shape(fresh, key), replicated(mesh))
  return jax.jit(fresh, out_shardings=replicated(mesh))(key)


def _transform(key, batch, *, preprocessing, options):
  return pipeline.scale(augment(key, batch, **options), preprocessing)


def _arguments(section: Any) -> dict[str, Any]:
  return {k: v for k, v in section.items() if k != "name"}
