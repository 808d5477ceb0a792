"""Searches hyper-parameters: python -m experiments.sweep --config=FILE --space=SPACE.py --trials=N.

A space is a Python file with get_space(trial) -> {config key: value}; configs/spaces/lenet5.py is
an example. Each trial is a training in a process of its own, in DIR/trials/<n>, by the config with
these values changed. A trial's value is the metric checkpoint.best on the split train.watch, which
must not be the test split: that of the last evaluation, of the final variables, or with
train.patience that of the best one. From its second evaluation on, a trial is pruned where its best
value is worse than the median of the others' at that evaluation; five trials have to finish first.
train.evaluate_every says how often that is checked; with 0 no trial is pruned.

DIR is --workdir, by default a new runs/<config>_sweep/<n>. The study lies in DIR/study.db, or in
any database at --storage. Sweeps with the same --storage, whose workdirs have the same name, share
a study; the first of them makes the tables, before the others begin.
The same command continues an interrupted sweep. At the end it writes DIR/best.py, a config for
`experiments.train`, and history.png and importance.png, which show the search.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import ConfigDict

from cnnjax.engine.config import resolve
from cnnjax.engine.fit import plan
from cnnjax.engine.run import locked, new_folder, open_folder
from cnnjax.errors import UserError

from . import launch
from .searching.space import read_space

FLAGS = flags.FLAGS


def sweep(
  config: Any,
  space_file: str,
  folder: str | Path | None = None,
  *,
  trials: int,
  jobs: int = 1,
  sampler: str = "tpe",
  storage: str = "",
  name: str = "run",
) -> Any:
  """Continues the folder's study, or begins one, and returns the study.

  Args:
    config: of which each trial changes some keys.
    space_file: path of a file with get_space(trial).
    folder: of the sweep; None for a new runs/<name>_sweep/<n>.
    trials: number of trials that the study has at the end, with those that failed.
    jobs: number of trials that train at the same time.
    sampler: "tpe" or "random".
    storage: URL of a database, by default DIR/study.db.
    name: of the config.

  Raises: UserError for anything that is wrong in the config, the space or the folder, and where no
    trial has finished; Stopped after SIGTERM, once all trials that train have saved.
  """
  from .searching.outcome import report  # these import optuna, which `check` does not need
  from .searching.study import begun, draw, open_study, search

  space = read_space(space_file)
  draw(space, config)
  check(config)
  folder = Path(folder) if folder else new_folder(f"{name}_sweep")
  open_folder(folder, config)
  with locked(folder):
    study = open_study(config, folder, storage)
    print(f"sweep    {folder}: {begun(study)} of {trials} trials have begun", flush=True)
    options = dict(trials=trials, jobs=jobs, sampler=sampler, shared=bool(storage))
    search(study, config, space, folder, **options)
    report(study, config, folder)
  return study


def check(config: Any) -> None:
  """Raises: UserError where no trial could be trained, or there is nothing to optimise.

  It checks in a new process, so that the data's memory and the accelerators are free for the
  trials afterwards.
  """
  if config.train.watch in ("", "train", "test"):
    raise UserError(
      "a sweep optimises a metric of train.watch, which must be a split that is neither trained on "
      f"nor the test split, such as validation; found {config.train.watch!r}"
    )
  if not config.checkpoint.best:
    raise UserError("a sweep optimises the metric that checkpoint.best names; found ''")
  with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
    pool.submit(_plan, config.to_dict()).result()


def _plan(config):
  plan(*resolve(ConfigDict(config).lock()))


def main(argv: list[str]) -> None:
  """Searches, and reports the result."""
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; sweep takes flags only")
  jax.config.update("jax_platforms", "cpu")  # this process computes nothing
  config = FLAGS.config
  if FLAGS.metric:
    config.checkpoint.best = FLAGS.metric
    config.checkpoint.mode = "min" if FLAGS.metric.endswith(("loss", "error")) else "max"
  sweep(
    config,
    FLAGS.space,
    FLAGS.workdir,
    trials=FLAGS.trials,
    jobs=FLAGS.jobs,
    sampler=FLAGS.sampler,
    storage=FLAGS.storage,
    name=FLAGS.name,
  )


if __name__ == "__main__":
  flags.DEFINE_string("space", None, "file with get_space(trial)", required=True)
  flags.DEFINE_integer("trials", None, "trials of the study in all", required=True, lower_bound=1)
  flags.DEFINE_string("workdir", None, "folder; by default a new runs/<config>_sweep/<n>")
  flags.DEFINE_integer(
    "jobs", 1, "trials at once; on one GPU with XLA_PYTHON_CLIENT_PREALLOCATE=false", lower_bound=1
  )
  flags.DEFINE_enum("sampler", "tpe", ["tpe", "random"], "how values are drawn")
  flags.DEFINE_string(
    "metric", None, "of the watched split; short for checkpoint.best and checkpoint.mode"
  )
  flags.DEFINE_string("storage", "", "URL of the study's database; by default DIR/study.db")
  launch.run(main, config="configs/classification/lenet5_digits.py")
