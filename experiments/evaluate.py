"""Scores a run on a split: python -m experiments.evaluate --workdir=RUN [--checkpoint=best].

It prints the figures and writes RUN/evaluation.json, RUN/losses.png and the pictures of the task:
for classes RUN/confusion.png and RUN/calibration.png; for numbers RUN/pairs.png, of predicted and
true ones; for boxes RUN/precision_recall.png, and RUN/errors.png with the worst errors among boxes
whose score is --least or more.
"""

from pathlib import Path
from typing import Any

from absl import flags

import cnnjax
from cnnjax import tasks
from cnnjax.data import catalogue, inputs, pipeline
from cnnjax.data.table import Table
from cnnjax.engine import log
from cnnjax.engine.evaluate import evaluate, evaluator
from cnnjax.engine.mesh import make_mesh
from cnnjax.engine.run import write_json
from cnnjax.errors import UserError, unknown
from cnnjax.metrics.errors import KINDS, counts, errors
from cnnjax.metrics.weights import zeros
from cnnjax.tasks.detection import split_rows
from cnnjax.visualise.figure import save

from . import launch
from .showing import detections
from .showing import evaluation as pictures

FLAGS = flags.FLAGS
ROWS = 1 << 28  # largest number of probabilities, 1 GiB, that are kept to rank all examples


def score(run: cnnjax.Run, split: str, data_root: str | None = None, **options: Any) -> dict:
  """Returns the figures of a run on one split of its data; the options are those of its task."""
  return examine(run, split, data_root, **options)[0]


def examine(
  run: cnnjax.Run, split: str, data_root: str | None = None, **options: Any
) -> tuple[dict, dict, Table]:
  """Returns the figures of `score`, the sums that they come from, and the split's table."""
  config = run.config.copy_and_resolve_references()
  if data_root:
    config.data.root = data_root
  splits = catalogue.load(config.data, config.seed)
  if split not in splits:
    raise unknown("split", split, splits)
  if len(splits[split].classes) != len(run.config.data.classes):
    raise UserError(
      f"the run knows {len(run.config.data.classes)} classes, the data hold "
      f"{len(splits[split].classes)}: {splits[split].classes}"
    )
  tasks.complete(config.task, splits)  # raises for data that the task cannot score
  mesh = make_mesh()  # of this machine, which may differ from the one that trained the run
  kind = tasks.task(**config.task, **options, model=run.model)
  size = -(-config.data.batch_size // mesh.size) * mesh.size
  table = inputs.kind(config.data.input).prepare(splits[split], run.model.preprocessing)
  rows = len(table) * len(splits[split].classes) <= ROWS
  step = evaluator(run.model, kind, mesh, rows=rows)
  sums = evaluate(step, run.variables, pipeline.eval_batches(table, size), mesh)
  figures = kind.summarise(sums)
  figures["zero_weights"] = float(zeros(run.variables["params"]))
  if not rows:
    what = "pairs" if config.task.name == "regression" else "roc_auc, average_precision"
    figures["undefined"] = {what: f"more than {ROWS:,} answers"}
  return figures, sums, table


def main(argv: list[str]) -> None:
  """Prints and writes the figures, and draws the pictures."""
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; evaluate takes flags only")
  folder = Path(FLAGS.workdir)
  run = cnnjax.restore(folder, FLAGS.checkpoint, FLAGS.parameters)
  least = detections.least(run, FLAGS.least)
  options = {} if FLAGS.top_k is None else {"top_k": FLAGS.top_k}
  figures, sums, table = examine(run, FLAGS.split, FLAGS.data_root, **options)
  header = {"split": FLAGS.split, "checkpoint": run.step, "parameters": run.parameters}
  log.table(f"{folder}", {**header, **log.scalars(figures)})
  names = run.config.data.classes
  for each in ("class", "label", "target"):
    if f"per_{each}" in figures:
      rows = figures[f"per_{each}"]
      rows = [{**a, **b} for a, b in zip(rows, figures.get("ranking", [{}] * len(rows)))]
      log.grid(f"per {each}", dict(zip(names, rows)))
  if "averages" in figures:
    log.grid("averages", figures["averages"])
  for name, why in figures.get("undefined", {}).items():
    print(f"{name} is not defined: {why}")
  if "confusion" in figures and len(names) <= 20:
    rows = {n: dict(zip(names, row)) for n, row in zip(names, figures["confusion"])}
    log.grid("confusion: true class by row, predicted by column", rows)
  drawn = [*pictures.of_training(run.metrics), *pictures.of_figures(figures, names)]
  if run.config.task.name == "detection":
    found, truth = split_rows(sums["rows"])
    parts = errors(found, truth, least)
    each = counts(parts, len(names))
    figures["errors"] = {kind: len(parts[kind].images) for kind in KINDS}
    figures |= {"errors_per_class": each, "least": least}
    log.grid(
      f"errors among boxes of a score of {least:g} or more",
      {**dict(zip(names, each)), "all": figures["errors"]},
    )
    drawn += pictures.of_boxes(found, truth, table, parts, least)
  for name, figure in drawn:
    save(figure, folder / name)
    print(f"wrote {folder / name}")
  figures.pop("pairs", None)
  whole = {k: None if v != v else v for k, v in figures.items()}  # JSON has no NaN
  write_json(folder / "evaluation.json", {**header, **whole, "classes": names})
  print(f"wrote {folder / 'evaluation.json'}")


if __name__ == "__main__":
  launch.define_run_flags()
  detections.define_flags()
  flags.DEFINE_string("split", "test", "split of the data")
  flags.DEFINE_integer("top_k", None, "largest k of the top-k accuracies", lower_bound=1)
  flags.DEFINE_string("data_root", None, "where the data lie now, if they were moved")
  launch.run(main)
