"""Searches hyper-parameters: python -m experiments.sweep --config=FILE --space=SPACE.py --trials=N.

A space is a Python file with get_space(trial) -> {config key: value}; configs/spaces/lenet5.py says
how. Each trial is a training in a process of its own, in DIR/trials/<n>, of the config with these
values changed. What counts is the last evaluation, that of the final variables, or with
train.patience the best, on the split train.watch, which is never the test split, by the metric
checkpoint.best. A trial whose best evaluation, from the second on, is below the median of the
others' is given up (five have to finish first); so train.evaluate_every says how often, and 0 gives
up none.

DIR is --workdir, by default a new runs/<config>_sweep/<n>. The study lies in DIR/study.db, or in
any database at --storage: sweeps with one --storage, and workdirs of the same name, share a study;
the first of them makes the tables, before the others begin.
The same command goes on where it was cut off. In the end DIR/best.py is a config that
`experiments.train` takes, and history.png and importance.png show the search.
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
  """Searches, on from where the folder's study stands, and returns the study.

  Args:
    config: of which each trial changes some keys.
    space_file: with get_space(trial).
    folder: of the sweep; None for a new runs/<name>_sweep/<n>.
    trials: how many the study is to have in all, those that failed among them.
    jobs: how many train at once.
    sampler: "tpe" or "random".
    storage: URL of a database, by default DIR/study.db.
    name: of the config.

  Raises: UserError for whatever in the config, the space or the folder is not as it should be, or
    where no trial has finished; Stopped after SIGTERM, once what trains has saved.
  """
  from .searching.outcome import report  # these import optuna, which `check` needs not
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

  In a process of its own, which takes the data with it when it ends: accelerators and memory are
  for the trials.
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
  """Searches and reports."""
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
