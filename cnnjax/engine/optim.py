"""Optimisers, by optax's names, and learning-rate schedules."""

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnnjax.engine import by_path, penalty
from cnnjax.engine.by_path import mapped
from cnnjax.errors import UserError, unknown

SCHEDULES = ("constant", "step", "cosine", "linear")


def schedule(optim: Any, steps_per_epoch: float, steps: int) -> optax.Schedule:
  """Returns the learning rate as a function of the step.

  Args:
    optim: a config's section `optim`. `schedule` is "constant"; "step": the rate is multiplied by
      `decay` at each epoch of `milestones`; "cosine": it falls to zero at the last step; or
      "linear": it falls to `decay` times `learning_rate` at the last step. Before each of them the
      rate grows linearly from `warmup_start` times `learning_rate`, for `warmup_epochs`.
    steps_per_epoch: to convert epochs into steps.
    steps: of the whole run.

  Raises: UserError for another schedule.
  """
  peak = optim.learning_rate
  warmup = round(optim.warmup_epochs * steps_per_epoch)
  if optim.schedule == "constant":
    main = optax.constant_schedule(peak)
  elif optim.schedule == "step":
    scales: dict[int, float] = {}
    for epoch in optim.milestones:
      step = max(0, round(epoch * steps_per_epoch) - warmup)
      scales[step] = scales.get(step, 1.0) * optim.decay
    main = optax.piecewise_constant_schedule(peak, scales)
  elif optim.schedule == "cosine":
    main = optax.cosine_decay_schedule(peak, max(1, steps - warmup))
  elif optim.schedule == "linear":
    main = optax.linear_schedule(peak, peak * optim.decay, max(1, steps - warmup))
  else:
    raise unknown("optim.schedule", optim.schedule, SCHEDULES)
  if not warmup:
    return main
  growth = optax.linear_schedule(peak * optim.warmup_start, peak, warmup)
  return optax.join_schedules([growth, main], [warmup])


def names() -> dict[str, Callable]:
  """Returns optax's optimisers by name: its functions with a parameter `learning_rate`."""
  found = {}
  for name, make in vars(optax).items():
    if callable(make) and not name.startswith(("_", "scale_by_")) and name.islower():
      try:
        if "learning_rate" in inspect.signature(make).parameters:
          found[name] = make
      except (TypeError, ValueError):  # a callable without a signature is no optimiser
        continue
  return found


def optimizer(
  optim: Any, rate: optax.Schedule, steps_per_epoch: float = 1.0
) -> optax.GradientTransformation:
  """Returns optax's optimiser `optim.name` with `optim.arguments`, after clipping and decay.

  Momentum and Nesterov are arguments of sgd. Where `optim.clip_norm` is above 0, gradients are
  first scaled down to a global norm of at most that. Then `optim.weight_decay` times the parameter
  is added to its gradient. This is L2 regularisation as in PyTorch's optimisers, except that
  parameters of one dimension (biases, scales of norms) do not decay. Decoupled penalties come last.

  Each row (pattern, factor) of `optim.rates` multiplies the learning rate of the parameters whose
  path the pattern matches by the factor. Where several rows match a path, the first counts. The
  factor 0 freezes parameters; a row (pattern, factor, epochs) freezes them after so many epochs.

  Raises: UserError for an optimiser or an argument that optax does not have, for an optimiser that
    takes no schedule, and for one that needs more than gradients.
  """
  clip = [optax.clip_by_global_norm(optim.clip_norm)] if optim.clip_norm > 0 else []
  if not optim.rates:
    links = [*clip, *_links(optim, rate, 1.0)]
    return links[0] if len(links) == 1 else optax.chain(*links)
  factors = {1.0, *(row[1] for row in optim.rates)}
  groups = {f: optax.chain(*_links(optim, rate, f)) if f else optax.set_to_zero() for f in factors}
  links = [*clip, optax.partition(groups, partial(factors_of, rows=optim.rates))]
  if any(len(row) > 2 for row in optim.rates):
    links.append(_ending(optim.rates, steps_per_epoch))
  return optax.chain(*links)


def factors_of(params: Any, rows: Any) -> Any:
  """Returns the tree of each parameter's factor of the learning rate: 1 where no row matches."""
  return mapped(lambda path, _: float(_row(rows, path)[1]), params)


def _row(rows, path):
  return next((row for row in rows if re.search(row[0], path)), ("", 1.0))


def _ending(rows, steps_per_epoch):
  """Returns the last transformation of an optimiser: no update after the epochs of a row."""

  def init(params):
    del params
    return jnp.zeros((), jnp.int32)

  def update(updates, count, params=None):
    del params

    def change(path, update):
      epochs = _row(rows, path)[2:]
      last = round(epochs[0] * steps_per_epoch) if epochs else None
      return update if last is None else jnp.where(count < last, update, 0)

    return mapped(change, updates), count + 1

  return optax.GradientTransformation(init, update)


def check(optim: Any, params: Any) -> None:
  """Raises: UserError for rows of penalties or rates that are malformed, or match no parameter."""
  penalty.check(optim.penalties, params)
  rows = optim.rates
  for row in rows:
    if not isinstance(row, tuple | list) or len(row) not in (2, 3):
      raise UserError(f"optim.rates has rows (pattern, factor) or with epochs; found {row!r}")
    for what, value in zip(("a factor", "an end in epochs"), row[1:]):
      if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise UserError(f"optim.rates: {what} must be a number of at least 0; found {value!r}")
  by_path.check("optim.rates", [row[0] for row in rows], params)
  if not any(jax.tree.leaves(factors_of(params, rows))):
    raise UserError(f"optim.rates {tuple(rows)} freeze every parameter; nothing would be trained")


def hold(params: Any, rows: Any) -> Any:
  """Returns the parameters; those that `optim.rates` freezes get no gradient."""
  if all(row[1] for row in rows):
    return params
  stop = jax.lax.stop_gradient
  return jax.tree.map(lambda w, f: w if f else stop(w), params, factors_of(params, rows))


def _links(optim, rate, factor):
  """Returns weight decay, the optimiser at `factor` times the rate, and decoupled penalties."""
  if optim.schedule == "constant" and not optim.warmup_epochs:
    given = factor * optim.learning_rate  # a few of optax's optimisers take only a number
  else:
    given = rate if factor == 1 else lambda step: factor * rate(step)
  links = [_named(optim, given)]
  if optim.weight_decay > 0:
    links.insert(0, optax.add_decayed_weights(optim.weight_decay, _are_kernels))
  if optim.decoupled and optim.penalties:
    links.append(penalty.shrink(optim.penalties, lambda step: factor * rate(step)))
  return links


def _named(optim, rate):
  known = names()
  if optim.name not in known:
    raise unknown("optim.name", optim.name, known)
  make, arguments = known[optim.name], dict(optim.arguments)
  allowed = set(inspect.signature(make).parameters) - {"learning_rate"}
  for argument in arguments:
    if argument not in allowed:
      raise unknown(f"optim.arguments of {optim.name}", argument, allowed)
  try:
    chosen = make(rate, **arguments)
    params = {"kernel": jnp.ones((2, 2))}
    jax.eval_shape(lambda p: chosen.update(p, chosen.init(p), p), params)
  except Exception as error:  # optax's optimisers raise errors of many types
    raise UserError(
      f"optim.name {optim.name} with optim.schedule {optim.schedule!r} and optim.arguments "
      f"{arguments} cannot train: {str(error).splitlines()[0]}"
    ) from error
  return chosen


def _are_kernels(params: Any) -> Any:
  return jax.tree.map(lambda p: p.ndim >= 2, params)
