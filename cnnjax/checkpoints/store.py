"""A run's checkpoints: written by Orbax in the background; the newest few and the best are kept."""

import math
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from cnnjax.errors import UserError


class Store:
  """The checkpoints in a folder, a folder for each step.

  Args:
    folder: where they lie; made when the first is saved.
    keep: how many of the newest to keep.
    best: name of the metric whose best step is kept as well; "" for none.
    mode: "max" where more of it is better, "min" where less is.
    read_only: nothing is made or deleted.
  """

  def __init__(
    self,
    folder: str | Path,
    *,
    keep: int = 1,
    best: str = "",
    mode: str = "max",
    read_only: bool = False,
  ):
    self.folder = Path(folder).absolute()
    self._best, self._sign = best, 1 if mode == "max" else -1
    keepers = [policies.LatestN(keep)]
    if best:
      keepers.append(
        policies.BestN(get_metric_fn=self._score, n=1, keep_checkpoints_without_metrics=False)
      )
    self._manager = ocp.CheckpointManager(
      self.folder,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy(keepers),
        best_fn=self._score if best else None,  # without it Orbax writes no metrics
        create=not read_only,
        read_only=read_only,
      ),
    )

  def _score(self, metrics: dict[str, float]) -> float:
    score = self._sign * metrics[self._best]
    return -math.inf if math.isnan(score) else score

  def save(self, step: int, state: Any, figures: dict[str, Any]) -> None:
    """Starts to write a state; returns once its arrays may be overwritten.

    The figures, where there are any, must hold the metric that picks the best.
    """
    metrics = {k: v for k, v in figures.items() if isinstance(v, int | float)}
    self._manager.save(step, args=ocp.args.PyTreeSave(state), metrics=metrics or None)

  def steps(self) -> list[int]:
    """Returns the steps that are there, oldest first."""
    return sorted(self._manager.all_steps())

  def find(self, which: str | int) -> int:
    """Returns the step that "latest", "best" or a number names.

    Raises: UserError where there is none, with those that there are.
    """
    steps = self.steps()
    if not steps:
      raise UserError(f"{self.folder} holds no checkpoint yet")
    if which == "latest":
      return steps[-1]
    if which == "best":
      scored = [(self._score(m), s) for s in steps if (m := self._manager.metrics(s))]
      if not self._best or not scored:
        raise UserError(
          f"{self.folder} keeps no best checkpoint; expected latest or one of the steps {steps}"
        )
      return max(scored)[1]
    if str(which).isdecimal() and int(which) in steps:
      return int(which)
    raise UserError(f"{self.folder} has no checkpoint {which}; expected best, latest or {steps}")

  def restore(self, step: int, like: Any, sharding: jax.sharding.Sharding) -> Any:
    """Returns what was saved at a step, of the structure, shapes and types of `like`.

    A part of what was saved is enough: leaves that `like` lacks are not read.

    Raises: UserError where a shape differs or a leaf is missing.
    """
    want = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), like)
    misfit = f"checkpoint {step} in {self.folder} does not fit the model: "
    try:
      found = self._manager.restore(
        step,
        args=ocp.args.PyTreeRestore(
          want,
          restore_args=ocp.checkpoint_utils.construct_restore_args(want),
          partial_restore=True,
        ),
      )
    except (ValueError, KeyError) as error:
      raise UserError(misfit + str(error).splitlines()[0]) from error
    for path, leaf in jax.tree.leaves_with_path(found):
      if not isinstance(leaf, jax.Array):  # Orbax leaves what it did not find as it was asked for
        raise UserError(f"{misfit}it has no {jax.tree_util.keystr(path)}")
    return found

  def wait(self) -> None:
    """Returns when everything is on disk. Raises: whatever went wrong in the background."""
    self._manager.wait_until_finished()

  def __enter__(self) -> "Store":
    return self

  def __exit__(self, *error: Any) -> None:
    self._manager.close()
