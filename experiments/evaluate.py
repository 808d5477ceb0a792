"""Scores a run on a split: python -m experiments.evaluate --workdir=RUN [--checkpoint=best].

It prints the figures and writes them as evaluation.json into the run folder, or into --out; then
losses.png and the pictures of the task: for classes confusion.png and calibration.png; for numbers
pairs.png, of predicted and true ones; for class maps worst.png, the worst examples beside the
truth, and confusion.png, of pixels; for prompts worst.png, of each group; for boxes
precision_recall.png, and errors.png with the worst errors among boxes whose score is --least or
more. Of more than 100 classes the confusion matrix is written apart, as confusion.csv with a row
for each pair of classes that occurs.

--model=NAME --weights=FILE --config.data.root=FOLDER scores a file of weights as it is, and makes a
run folder of it, which predict and train --config.init.source take. The data are a folder for each
class; --config=FILE, such as ssd300_voc, says another source and task.
"""

import math
import re
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from absl import flags

import cnnjax
from cnnjax import tasks
from cnnjax.checkpoints.opened import open_weights
from cnnjax.data import inputs, pipeline
from cnnjax.data.table import Table
from cnnjax.engine import log
from cnnjax.engine.evaluate import evaluate, evaluator
from cnnjax.engine.mesh import make_mesh
from cnnjax.errors import UserError, unknown
from cnnjax.metrics.errors import KINDS, counts, errors
from cnnjax.metrics.weights import zeros
from cnnjax.tasks.detection import split_rows
from cnnjax.visualise.figure import save

from . import launch
from .showing import detections, prompted, segments
from .showing import evaluation as pictures
from .showing.figures import grid, tell, write
from .showing.written import folder_for
from .train import train

FLAGS = flags.FLAGS
ROWS = 1 << 28  # largest number of probabilities, 1 GiB, that are kept to rank all examples


def score(run: cnnjax.Run, split: str, data_root: str | None = None, **options: Any) -> dict:
  """Returns the figures of a run on one split of its data; the options are those of its task."""
  return examine(run, split, data_root, **options)[0]


def examine(
  run: cnnjax.Run, split: str, data_root: str | None = None, **options: Any
) -> tuple[dict, dict, Table]:
  """Returns the figures of `score`, the sums that they come from, and the split's table."""
  splits = run.load_splits(data_root or "")
  if split not in splits:
    raise unknown("split", split, splits)
  tasks.complete(run.config.task, splits)  # raises for data that the task cannot score
  table = inputs.kind(run.config.data.input).prepare(splits[split], run.model.preprocessing)
  return (*of_table(run, table, **options), table)


def of_table(run: cnnjax.Run, table: Table, **options: Any) -> tuple[dict, dict]:
  """Returns the figures of a run on any prepared table, and the sums that they come from.

  So a promptable run is scored by other boxes: `of_table(run, table.replace(box=boxes))`.
  """
  config, mesh = run.config, make_mesh()  # of this machine, which may not be the one that trained
  kind = tasks.task(**config.task, **options, model=run.model)
  size = -(-config.data.batch_size // mesh.size) * mesh.size
  maps = table.columns.get("segments")  # of which answer and truth are kept, a byte a pixel each
  numbers = len(table) * len(table.classes) if maps is None else math.prod(maps.shape) // 2
  rows = numbers <= ROWS
  step = evaluator(run.model, kind, mesh, rows=rows)
  sums = evaluate(step, run.variables, pipeline.eval_batches(table, size), mesh)
  figures = kind.summarise(sums)
  figures["zero_weights"] = float(zeros(run.variables["params"]))
  if not rows:
    what = {
      "regression": "pairs",
      "segmentation": "hd95, boundary_f1",
      "promptable": "worst.png",
    }.get(config.task.name, "roc_auc, average_precision")
    figures["undefined"] = {what: f"more than {ROWS:,} answers"}
  return figures, sums


def adopt(config: Any, name: str, weights: str, folder: str | Path | None = None) -> Path:
  """Makes a run of a file of weights, as they are, and returns its folder.

  The classes and the preprocessing are those of a published set, where the file is one; else the
  data's classes, in their order, and the config's preprocessing.

  Args:
    config: of the data and the task.
    name: of the model.
    weights: a file or a Hugging Face hub id.
    folder: new or empty; None for a new runs/<name>/<n>.

  Raises: UserError for weights that do not fit the model or the data.
  """
  with config.model.unlocked():
    config.model.name = name
  opened = open_weights(name, weights, **config.model.arguments)
  config.init.source, config.train.epochs, config.train.watch = weights, 0.0, ""
  config.data.classes = config.data.classes or opened.classes
  config.model.num_classes = opened.model.num_classes
  to = opened.model.preprocessing
  if opened.published and not any(config.data[key] for key in ("resize", "crop", "mean", "std")):
    resize = (to.resize,) if isinstance(to.resize, int) else to.resize or ()
    config.data.update(resize=resize, crop=to.crop or (), channels=to.channels)
    config.data.update(mean=to.mean, std=to.std, interpolation=to.interpolation)
  elif not opened.published:
    print(f"weights  {weights} is no known set: data.resize, crop, mean and std say how it sees")
  return train(config, folder, name=name)[0]


def main(argv: list[str]) -> None:
  """Prints and writes the figures, and draws the pictures."""
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; evaluate takes flags only")
  if bool(FLAGS.weights) != bool(FLAGS.model) or not (FLAGS.weights or FLAGS.workdir):
    raise UserError("evaluate needs --workdir=RUN, or --model=NAME and --weights=FILE")
  if "config" in FLAGS and not FLAGS.weights:
    raise UserError(
      "--config is for --weights: a run has its own; --data_root says where its data lie now"
    )
  folder_for(FLAGS.out or FLAGS.workdir or ".", "evaluation.json")
  folder = FLAGS.workdir
  if FLAGS.weights:
    folder = adopt(FLAGS.config, FLAGS.model, FLAGS.weights, folder)
  folder, out = Path(folder), Path(FLAGS.out or folder).expanduser()
  run = cnnjax.restore(folder, FLAGS.checkpoint, FLAGS.parameters)
  least = detections.least(run, FLAGS.least)
  options = {} if FLAGS.top_k is None else {"top_k": FLAGS.top_k}
  figures, sums, table = examine(run, FLAGS.split, FLAGS.data_root, **options)
  header = {"split": FLAGS.split, "checkpoint": run.step, "parameters": run.parameters}
  names = run.config.data.classes
  log.table(f"{folder}", {**header, **log.scalars(figures)})
  tell(figures, names)
  drawn = [pictures.of_training(run.metrics), pictures.of_figures(figures, names)]
  if run.config.task.name == "detection":
    found, truth = split_rows(sums["rows"])
    parts = errors(found, truth, least)
    each = counts(parts, len(names))
    figures["errors"] = {kind: len(parts[kind].images) for kind in KINDS}
    figures |= {"errors_per_class": each, "least": least}
    title = f"errors among boxes of a score of {least:g} or more"
    grid(title, {**dict(zip(names, each)), "all": figures["errors"]}, by=KINDS[0])
    drawn.append(pictures.of_boxes(found, truth, table, parts, least))
  if run.config.task.name == "segmentation" and "rows" in sums:
    drawn.append(segments.of_maps(sums["rows"], table))
  if run.config.task.name == "promptable" and "rows" in sums:
    drawn.append(prompted.of_objects(sums["rows"], table))
  write(out, {**header, **figures}, names)
  for name, figure in chain.from_iterable(drawn):
    save(figure, out / name)
    print(f"wrote {out / name}")


if __name__ == "__main__":
  launch.define_run_flags(required=False)
  detections.define_flags()
  flags.DEFINE_string("split", "test", "split of the data")
  flags.DEFINE_string("out", None, "folder for what is written; by default the run's")
  flags.DEFINE_integer("top_k", None, "largest k of the top-k accuracies", lower_bound=1)
  flags.DEFINE_string("data_root", None, "where the data lie now, if they were moved")
  flags.DEFINE_string("model", "", "name of a model, for --weights without a run")
  flags.DEFINE_string("weights", "", "file or hub id; --config and its keys say on which data")
  own = any(re.match("--?(weights|model|config)", argument) for argument in sys.argv[1:])
  launch.run(main, config="configs/weights.py" if own else "")
