"""Trains R-CNN or SPPnet: python -m experiments.train_rcnn --config=FILE[:quick] [--workdir=DIR].

The fine-tuning is a usual training. The stages after it write their results to RUN/stages, a file
each: features of all proposals, SVMs, regression. The same command continues with the first stage
whose file is missing. At the end all parameters are saved as the run's last checkpoint, for
evaluate and predict.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

import cnnjax
from cnnjax.data.table import Table
from cnnjax.engine import log
from cnnjax.engine.config import resolve
from cnnjax.engine.fit import plan
from cnnjax.engine.run import locked, open_store
from cnnjax.errors import UserError
from cnnjax.tasks import detection

from . import launch
from .evaluate import score
from .stages.rcnn import say, stages, with_head
from .train import train

FLAGS = flags.FLAGS
MODELS = ("rcnn", "sppnet")


def train_rcnn(
  config: Any, folder: str | Path | None = None, *, name: str = "run"
) -> tuple[Path, dict[str, Any]]:
  """Trains through all stages, and continues where the folder's run was interrupted.

  Args:
    config: of a config file whose model is `rcnn` or `sppnet`.
    folder: as of `train`.
    name: of the config.

  Returns: the folder, and the test split's figures.

  Raises: UserError for another model, data without proposals, a class without boxes, and as `train`
    does.
  """
  if config.model.name not in MODELS:
    raise UserError(f"train_rcnn trains {' and '.join(MODELS)}; found {config.model.name}")
  if not config.data.proposals:
    raise UserError("train_rcnn needs windows: set data.proposals, as to source selective_search")
  if config.train.watch:
    raise UserError(
      "train_rcnn finds boxes at its end alone; set train.watch to '', and train.patience to 0"
    )
  _check_boxes(resolve(config)[1]["train"])
  started = time.perf_counter()
  folder, _ = train(config, folder, name=name, test=False)
  say("fine-tuning", started)
  config, splits = resolve(config)
  job = plan(config, splits)
  with locked(folder), open_store(folder, config) as store:
    step = store.find("latest")
    if step <= job.steps:
      now = store.restore(step, job.shapes, job.sharding)
      head = stages(job, config, now.ema or now.variables, splits["train"], folder / "stages")
      own = {
        n: with_head(v, head) if v else v
        for n, v in (("variables", now.variables), ("ema", now.ema))
      }
      store.save(step + 1, replace(now, step=now.step + 1, **own), {}, store.notes(step))
  return folder, score(cnnjax.restore(folder), "test")


def _check_boxes(table: Table) -> None:
  """Raises: UserError for data without boxes, or a class without any: its SVM needs some."""
  detection.complete({"train": table})
  truth = detection.inputs(table.columns)
  count = np.bincount(truth["labels"][truth["valid"] > 0], minlength=len(table.classes))
  for name, boxes in zip(table.classes, count):
    if not boxes:
      raise UserError(f"class {name} has no box in the train split to learn from")


def main(argv: list[str]) -> None:
  """Trains, prints the test metrics and what to run next."""
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; train_rcnn takes flags only")
  folder, figures = train_rcnn(FLAGS.config, FLAGS.workdir, name=FLAGS.name)
  log.table("test", log.scalars(figures))
  print(f"next: {launch.command('evaluate')} --workdir={folder}")
  print(f"      {launch.command('predict')} --workdir={folder} FILE...")


if __name__ == "__main__":
  flags.DEFINE_string("workdir", None, "run folder; by default a new runs/<config>/<n>")
  launch.run(main, config="configs/detection/rcnn_bccd.py")
