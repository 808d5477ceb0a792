"""A study: its trials are drawn from a space, trained several at a time, pruned and continued.

optuna keeps it in a database, which several sweeps, on several machines, may share. A trial that
was interrupted is marked as failed, and its values are enqueued again as a new trial, which
continues in the same run folder.
"""

import math
import socket
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from cnnjax.engine.hosts import Stopped, stop_requested
from cnnjax.errors import UserError

from .child import Training, begin, wait_until_free
from .space import changed

WAIT = 0.2  # seconds between looks at the trainings
RUN, PLACE, VALUES, AGAIN = "run", "place", "values", "again"  # user attributes of a trial
SAMPLERS: dict[str, Callable[[int, int], optuna.samplers.BaseSampler]] = {
  "tpe": lambda seed, trials: optuna.samplers.TPESampler(
    n_startup_trials=min(10, trials // 3), seed=seed
  ),
  "random": lambda seed, trials: optuna.samplers.RandomSampler(seed),
}  # name: (seed, trials of the study) -> sampler


def draw(space: Callable, config: Any, tries: int = 10) -> None:
  """Draws values to test a space, without training. Raises: UserError where all tries fail."""
  optuna.logging.set_verbosity(optuna.logging.ERROR)
  study = optuna.create_study(sampler=optuna.samplers.RandomSampler(config.seed))
  for left in reversed(range(tries)):
    try:
      changed(config, space(study.ask()))
      return
    except UserError:
      if not left:
        raise


def open_study(config: Any, folder: Path, storage: str = "") -> optuna.Study:
  """Returns the study with the folder's name; it is made where there is none.

  Args:
    config: whose `checkpoint.best` on the split `train.watch` is optimised.
    folder: of the sweep; study.db lies there.
    storage: URL of another database.

  Raises: UserError where it cannot be opened, or optimises something else.
  """
  name = folder.resolve().name
  where = "--storage" if storage else folder / "study.db"
  goal = f"{config.checkpoint.mode} {config.train.watch} {config.checkpoint.best}"
  try:
    study = optuna.create_study(
      storage=storage or f"sqlite:///{folder / 'study.db'}",
      study_name=name,
      direction={"max": "maximize", "min": "minimize"}[config.checkpoint.mode],
      pruner=optuna.pruners.MedianPruner(n_warmup_steps=1),
      load_if_exists=True,
    )
  except Exception as error:  # of many types; the message leaves out the URL and its password
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise UserError(f"the study {name} cannot be opened in {where}: {first}") from error
  found = study.user_attrs.get("goal", goal)
  if found != goal:
    raise UserError(f"the study {name} in {where} is of {found}, this sweep of {goal}")
  study.set_user_attr("goal", goal)
  return study


def search(
  study: optuna.Study,
  config: Any,
  space: Callable[[Any], dict[str, Any]],
  folder: Path,
  *,
  trials: int,
  jobs: int = 1,
  sampler: str = "tpe",
  shared: bool = False,
) -> None:
  """Trains trials in FOLDER/trials/<n> until the study has so many, with those that failed.

  Args:
    study: of `open_study`.
    config: of which each trial changes some keys.
    space: of `read_space`.
    folder: of the sweep, which no other process uses now.
    trials: number of trials that the study has at the end.
    jobs: number of trials that train at the same time.
    sampler: of `SAMPLERS`.
    shared: whether other sweeps draw from the study too; then each has a seed of its own.

  Raises: Stopped after SIGTERM. Trials that still train save, and are enqueued again.
  """
  (folder / "trials").mkdir(exist_ok=True)
  place = f"{socket.gethostname()}:{folder.resolve()}"
  for trial in study.get_trials(states=[TrialState.RUNNING]):
    if trial.user_attrs.get(PLACE) == place:  # an earlier sweep here was killed
      _say(trial, "was cut off, and goes on under a new number")
      wait_until_free(folder / "trials" / trial.user_attrs[RUN])
      _put_back(study, trial)
  seed = config.seed + (zlib.crc32(place.encode()) if shared else 0)
  running: list[Training] = []
  try:
    with stop_requested() as stop:
      while running or begun(study) < trials:
        while len(running) < jobs and begun(study) < trials:
          study.sampler = SAMPLERS[sampler]((seed + len(study.trials)) % 2**32, trials)
          running += _begin(study, config, space, folder, place)
        running = [training for training in running if not _ended(study, training, config)]
        if stop():
          raise Stopped("stopped")
        time.sleep(WAIT)
  finally:
    for training in running:
      training.stop()
    for training in running:
      training.process.wait()
      trial = study.trials[training.trial.number]
      if trial.state == TrialState.RUNNING:
        _put_back(study, trial)


def begun(study: optuna.Study) -> int:
  """Returns how many trials have begun; an interrupted one and its continuation count as one."""
  found = study.get_trials(deepcopy=False)
  started = sum(trial.state != TrialState.WAITING for trial in found)
  return started - sum(AGAIN in trial.user_attrs for trial in found)


def _put_back(study, trial):
  study.tell(trial.number, state=TrialState.FAIL)
  notes = {RUN: trial.user_attrs.get(RUN, str(trial.number)), AGAIN: trial.number}
  study.enqueue_trial(trial.params, user_attrs=notes)


def _begin(study, config, space, folder, place):
  """Returns a list with the training of the next trial, or [] where its values are wrong."""
  trial = study.ask()
  run = trial.user_attrs.get(RUN, str(trial.number))
  trial.set_user_attr(RUN, run)
  trial.set_user_attr(PLACE, place)
  try:
    values = space(trial)
    config = changed(config, values)
  except UserError as error:
    study.tell(trial, state=TrialState.FAIL)
    _say(trial, f"failed: {error}")
    return []
  trial.set_user_attr(VALUES, values)
  _say(trial, "; ".join(f"{name} {as_text(value)}" for name, value in trial.params.items()))
  return [begin(trial, config, folder / "trials" / run, f"Trial {trial.number} of a sweep.")]


def _ended(study, training, config):
  """Returns whether a training has ended; reports its values, and stops it where optuna prunes it.

  It checks for the end before it reads the rows, so that it does not miss the last ones.
  """
  code, trial = training.process.poll(), training.trial
  for evaluation, value in training.news(config.train.watch, config.checkpoint.best):
    trial.report(value, evaluation)
    if code is None and not training.pruned and trial.should_prune():
      training.pruned = True
      training.stop()
  if code is None:
    return False
  values, seconds = training.values, f"after {time.monotonic() - training.began:.0f} s"
  if code == 0 and values and math.isfinite(values[-1]):
    value = _worth(values, config)
    study.tell(trial, value)
    _say(trial, f"{config.checkpoint.best} {as_text(value)} {seconds}")
  elif code != 0 and training.pruned:
    study.tell(trial, state=TrialState.PRUNED)
    _say(trial, f"given up at {config.checkpoint.best} {as_text(values[-1])} {seconds}")
  else:
    study.tell(trial, state=TrialState.FAIL)
    _say(trial, f"failed: {training.failure()}")
  return True


def _worth(values, config):
  """Returns the value of a training's final variables: the last one, or with patience the best.

  With patience the training ends with its best checkpoint.
  """
  if not config.train.patience:
    return values[-1]
  known = [value for value in values if math.isfinite(value)]
  return max(known) if config.checkpoint.mode == "max" else min(known)


def as_text(value: Any) -> str:
  """Returns a value as text, floats with four digits."""
  return f"{value:.4g}" if isinstance(value, float) else str(value)


def _say(trial, text):
  print(f"trial {trial.number:<4} {text}", flush=True)
