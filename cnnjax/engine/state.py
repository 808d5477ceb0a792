"""The state of a training: everything that changes from step to step and is saved."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
  """A training run after `step` steps.

  Attributes:
    step: number of updates made, int32.
    variables: {"params": ..., "batch_stats": ...} of the model.
    opt_state: the optimiser's state.
    ema: moving average of the variables, {} where the run keeps none.
  """

  step: jax.Array
  variables: dict[str, Any]
  opt_state: Any
  ema: dict[str, Any]


def create(variables: dict[str, Any], optimizer: optax.GradientTransformation, ema: bool) -> State:
  """Returns the state before the first step."""
  return State(
    step=jnp.zeros((), jnp.int32),
    variables=variables,
    opt_state=optimizer.init(variables["params"]),
    ema=jax.tree.map(jnp.copy, variables) if ema else {},
  )
