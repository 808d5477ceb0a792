"""The report of a study: a table, the best config as a file, and two pictures."""

import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from cnnjax.engine import log
from cnnjax.engine.config import tuples
from cnnjax.errors import UserError
from cnnjax.visualise import search as pictures
from cnnjax.visualise.figure import save

from .. import launch
from .space import changed, write_config
from .study import RUN, VALUES, as_text

SHOWN = 10  # trials in the table


def report(study: optuna.Study, config: Any, folder: Path) -> None:
  """Prints the best trials; writes best.py, history.png and importance.png.

  Raises: UserError where no trial has finished.
  """
  metric, mode = config.checkpoint.best, config.checkpoint.mode
  trials = study.get_trials(deepcopy=False)
  finished, pruned = (
    [t for t in trials if t.state == state and t.value is not None]
    for state in (TrialState.COMPLETE, TrialState.PRUNED)
  )
  if not finished:
    raise UserError(f"no trial has finished; the logs in {folder / 'trials'} say why")
  ranked = sorted(finished, key=lambda t: t.value, reverse=mode == "max")
  best = ranked[0]
  parameters = list(dict.fromkeys(name for t in ranked for name in t.params))
  rows = {
    f"trial {t.number}": {
      metric: t.value,
      **{name: as_text(t.params.get(name, "")) for name in parameters},
    }
    for t in ranked[:SHOWN]
  }
  log.grid(f"best by {metric} of {config.train.watch}", rows)
  title = f"The best of {len(finished)} finished trials: {best.number}, {metric} {best.value:.4f}."
  write_config(folder / "best.py", changed(config, tuples(best.user_attrs[VALUES])), title)
  _draw(study, finished, pruned, f"{config.train.watch} {metric}", mode, folder)
  print(f"wrote {folder / 'best.py'}")
  print(f"next: {launch.command('train')} --config={folder / 'best.py'}")
  run = folder / "trials" / best.user_attrs[RUN]
  if run.exists():  # where it does not, another machine trained it
    print(f"      {launch.command('evaluate')} --workdir={run}")


def _draw(study, finished, pruned, metric, mode, folder):
  points = ({t.number: t.value for t in part} for part in (finished, pruned))
  save(pictures.history(*points, metric=metric, mode=mode), folder / "history.png")
  print(f"wrote {folder / 'history.png'}")
  try:
    shares, count = importance(study)
  except UserError as error:
    print(f"importance.png is not drawn: {error}")
    return
  title = f"what the best {count} of {len(finished)} trials have in common"
  save(pictures.importance(shares, title), folder / "importance.png")
  print(f"wrote {folder / 'importance.png'}")


def importance(study: optuna.Study) -> tuple[dict[str, float], int]:
  """Returns the importance of each parameter, as shares, and the number of best trials.

  PED-ANOVA (arXiv:2304.10255) compares the distribution of a parameter among the best tenth of the
  trials with that among all finished ones. In a study of fewer than fifty trials it takes the best
  five, but at most half of all.

  Raises: UserError where too few trials have finished, or no parameter makes a difference.
  """
  count = len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]))
  if count < 4:
    raise UserError(f"it takes at least 4 finished trials, and there are {count}")
  best = min(max(0.1, 5 / count), 0.5)
  evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best)
  with warnings.catch_warnings(action="ignore"):  # about few trials; the picture shows it
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
  if len(shares) != 1 and len(set(shares.values())) < 2:  # optuna then knows nothing
    raise UserError("nothing sets the best trials apart")
  return shares, round(best * count)
