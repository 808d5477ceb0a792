"""The training step, the evaluation step and the prediction step: pure functions."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnnjax.data.inputs import parts as parts_of
from cnnjax.engine import tiles
from cnnjax.engine.state import State
from cnnjax.ops.cpu.barrier import barrier
from cnnjax.tasks import Task

Batch = dict[str, Any]
Logs = dict[str, Any]


def train_step(
  state: State,
  batch: Batch,
  *,
  model: Any,
  inputs: Callable[[Batch], Any],
  loss: Callable[[Any, Batch], tuple[jax.Array, Logs]],
  transform: Callable[[jax.Array, Batch], Batch],
  optimizer: optax.GradientTransformation,
  seed: int,
  ema: float = 0.0,
  lookahead: int = 0,
  steps: int = 1,
  accumulate: int = 1,
  penalty: Callable[[Any], jax.Array] | None = None,
  hold: Callable[[Any], Any] = lambda params: params,
  frozen: tuple[str, ...] = (),
  across: Callable[[Batch], Batch] = lambda batch: batch,
) -> tuple[State, Logs]:
  """Returns the state after one update on a batch, and the sums to log.

  Args:
    state: the run so far; its step and the seed determine the random keys.
    batch: from the pipeline, not normalised.
    model: of the zoo.
    inputs: batch -> what the network reads.
    loss: (outputs, batch) -> (scalar, {name: (sum, count)}); where a batch is cut, also with
      `counts`, {name: count to divide by in place of the part's own}.
    transform: (key, batch) -> the batch augmented and normalised.
    optimizer: of optax.
    seed: of the run.
    ema: decay of the moving average of the variables, 0 for none.
    lookahead: number of steps after which the average is updated and the variables are set to it;
      with 0 the average is updated at each step, and the variables are not set to it.
    steps: of the whole run, for the decay of a lookahead.
    accumulate: number of equal parts that the batch is cut into, one after the other; the gradient
      is that of the whole batch. Batch norm and random draws see only their own part.
    penalty: parameters -> a term of the loss.
    hold: parameters -> parameters, where those that are not to be trained get no gradient.
    frozen: collections of the variables that do not change, such as batch_stats: the model then
      normalises by the running statistics in place of the batch's.
    across: batch -> the batch, with examples divided among devices.
  """
  key = jax.random.fold_in(jax.random.key(seed), state.step)
  augment_key, dropout_key, sample_key = jax.random.split(key, 3)
  batch = across(transform(augment_key, batch))
  mutable = [name for name in state.variables if name not in ("params", *frozen)]
  fixed = {name: state.variables[name] for name in frozen if name in state.variables}

  def loss_of(params, others, part, index, **options):
    rngs = {"dropout": dropout_key, "sample": sample_key}
    rngs = {name: jax.random.fold_in(k, index) for name, k in rngs.items()}
    params = hold(params)
    variables = {**fixed, **others, "params": params}
    outputs, changed = model.apply(variables, inputs(part), train=True, rngs=rngs, mutable=mutable)
    value, logs = loss(outputs, part, **options)
    if penalty:
      cost = penalty(params)
      value, logs = value + cost, {**logs, "penalty": (cost, jnp.ones(()))}
    return value, ({**others, **changed}, logs)

  params = state.variables["params"]
  others = {name: state.variables[name] for name in mutable}
  if accumulate == 1:
    grads, (others, logs) = jax.grad(loss_of, has_aux=True)(params, others, batch, 0)
  else:
    grads, others, logs = _accumulated(loss_of, params, others, batch, accumulate)
  # No instruction reads a parameter after its update: else XLA's CPU compiler, which updates
  # parameters in place, would first copy them all.
  grads = barrier(grads)
  with jax.named_scope("optimizer"):  # a profile finds these instructions by this name
    updates, opt_state = optimizer.update(grads, state.opt_state, params)
    variables = {**fixed, **others, "params": optax.apply_updates(params, updates)}
  average = state.ema
  if lookahead:
    done = state.step + 1
    average = look_ahead(average, variables, ema * (done / steps) ** 3, done % lookahead == 0)
    variables = jax.tree.map(partial(jnp.where, done % lookahead == 0), average, variables)
  elif ema:
    decay = jnp.minimum(ema, (1.0 + state.step) / (10.0 + state.step))  # short memory at first
    average = jax.tree.map(lambda a, v: decay * a + (1 - decay) * v, average, variables)
  logs = {
    **logs,
    "gradient_norm": (optax.tree.norm(grads), 1.0),
    "update_norm": (optax.tree.norm(updates), 1.0),
  }
  return State(state.step + 1, variables, opt_state, average), logs


def look_ahead(average: Any, variables: Any, decay: jax.Array, due: jax.Array) -> Any:
  """Returns the slow weights of Lookahead (Zhang et al., arXiv:1907.08610), updated where due.

  A slow weight becomes decay * itself + (1 - decay) * the variable. In `train_step` the decay grows
  with the cube of the part of the run that is done, as in arXiv:2404.00498.
  """
  move = lambda a, v: jnp.where(due, a + (1 - decay) * (v - a), a)  # noqa: E731
  return jax.tree.map(move, average, variables)


def _accumulated(loss_of, params, others, batch, parts):
  """Averages gradients over `parts` interleaved parts, so that each device keeps its own rows.

  All parts are divided by the same counts, the mean of theirs, so that the average is the gradient
  of the whole batch. Counting runs the network only where its outputs decide what is counted, as in
  a detector of two stages: of any other XLA removes it.
  """
  cut = jax.tree.map(lambda a: a.reshape(-1, parts, *a.shape[1:]).swapaxes(0, 1), batch)
  cut = cut, jnp.arange(parts)

  def count(others, part):
    _, (others, logs) = loss_of(params, others, *part)
    return others, {name: number for name, (_, number) in logs.items()}

  counts = jax.tree.map(lambda number: number.mean(0), jax.lax.scan(count, others, cut)[1])
  gradient = jax.grad(partial(loss_of, counts=counts), has_aux=True)

  def add(carry, part):
    grads, others = carry
    more, (others, logs) = gradient(params, others, *part)
    return (jax.tree.map(jnp.add, grads, more), others), logs

  first = jax.tree.map(jnp.zeros_like, params), others
  (grads, others), logs = jax.lax.scan(add, first, cut)
  grads = jax.tree.map(lambda g: g / parts, grads)
  return grads, others, jax.tree.map(lambda value: value.sum(0), logs)


def eval_step(
  variables: dict[str, Any],
  batch: Batch,
  *,
  model: Any,
  task: Task,
  scale: Callable[[Batch], Batch],
  **options: Any,
) -> Any:
  """Returns the sums of the task's metrics over a batch; the options are those of its `metrics`."""
  batch = scale(batch)
  return task.metrics(_outputs(variables, batch, model, task), batch, **options)


def predict_step(
  variables: dict[str, Any],
  batch: Batch,
  *,
  model: Any,
  task: Task,
  scale: Callable[[Batch], Batch],
) -> Any:
  """Returns the task's answers for a batch."""
  batch = scale(batch)
  return task.predict(_outputs(variables, batch, model, task), batch)


def _outputs(variables, batch, model, task):
  """Returns the model's outputs for a batch; of several views, the weighted mean of the logits.

  Of examples in several parts, such as the clips of a video, the logits are the task's average.
  Where the model sees windows, the outputs are what is kept of their logits at each pixel.
  """
  to = getattr(model, "preprocessing", None)
  if getattr(to, "tile", None):
    apply = partial(model.apply, variables, train=False)
    return tiles.found(apply, task.inputs(batch), batch["segments"], to.tile, to.overlap)
  parts = parts_of(batch)
  if parts:
    one = lambda part: _outputs(variables, {**batch, **part}, model, task)["logits"]  # noqa: E731
    return {"logits": task.average(jax.lax.map(one, parts))}
  seen = [
    (weight, model.apply(variables, task.inputs(view), train=False))
    for weight, view in task.views(batch)
  ]
  if len(seen) == 1:
    return seen[0][1]
  return {"logits": sum(weight * outputs["logits"] for weight, outputs in seen)}
