"""Penalties on chosen parameters, given as rows (kind, strength, pattern of `by_path`) of a config.

  optim.penalties = (("l1", 1e-4, "kernel$"), ("l2", 1e-3, "head/.*kernel"))

"l2" is strength/2 times the sum of squares, "l1" strength times the sum of magnitudes; both on the
same parameters are the elastic net (Zou and Hastie 2005). They are terms of the loss. With
`optim.decoupled` they instead change the parameters after each update, by an amount proportional to
the learning rate: "l2" as weight decay (arXiv:1711.05101), "l1" as the soft threshold, its proximal
step (Beck and Teboulle 2009). That makes weights exactly zero, where a gradient only lets them
oscillate around zero.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnnjax.engine.by_path import check as check_patterns
from cnnjax.engine.by_path import mapped, named
from cnnjax.errors import UserError, unknown

COSTS = {
  "l1": lambda w: jnp.sum(w * jax.lax.stop_gradient(jnp.sign(w))),  # jnp.abs has gradient 1 at 0
  "l2": lambda w: jnp.sum(jnp.square(w)) / 2,
}
Rows = tuple[tuple[str, float, str], ...]


def check(rows: Any, params: Any) -> None:
  """Raises: UserError for rows that are malformed, or a pattern that matches no parameter."""
  for row in rows:
    if not isinstance(row, tuple | list) or len(row) != 3:
      raise UserError(f"optim.penalties has rows (kind, strength, pattern); found {row!r}")
    kind, strength, _ = row
    if kind not in COSTS:
      raise unknown("kind in optim.penalties", str(kind), COSTS)
    if not isinstance(strength, int | float) or not 0 <= strength < float("inf"):
      raise UserError(
        f"optim.penalties: the strength of {kind} must be a number of at least 0; found "
        f"{strength!r}"
      )
  check_patterns("optim.penalties", [row[2] for row in rows], params)


def penalty(params: Any, rows: Rows) -> jax.Array:
  """Returns the sum of the rows' penalties, a term of the loss."""
  total = jnp.zeros(())
  for kind, strength, pattern in rows:
    weights = [w for path, w in named(params) if re.search(pattern, path)]
    total += strength * sum(map(COSTS[kind], weights))
  return total


def shrink(rows: Rows, rate: Callable[[Any], Any]) -> optax.GradientTransformation:
  """Returns the last transformation of an optimiser: it applies the rows to the new parameters."""

  def init(params):
    del params
    return jnp.zeros((), jnp.int32)

  def update(updates, count, params):
    for kind, strength, pattern in rows:
      change = partial(_shrunk, re.compile(pattern).search, kind, rate(count) * strength)
      updates = mapped(change, updates, params)
    return updates, count + 1

  return optax.GradientTransformation(init, update)


def _shrunk(chosen, kind, by, path, update, w):
  """Returns an update that also shrinks w + update: l2 by `by` times w, l1 towards zero by `by`."""
  if not chosen(path):
    return update
  if kind == "l2":
    return update - by * w
  new = w + update
  return jnp.sign(new) * jnp.maximum(jnp.abs(new) - by, 0) - w  # added to w this gives exact zeros
