"""Trains a model by a config: python -m experiments.train [--config=FILE[:quick]] [--workdir=DIR].

Any key of the config is a flag: --config.optim.learning_rate=0.01 --config.seed=1. The run folder
holds all that evaluate and predict need. The same command with the same --workdir continues an
interrupted run.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
from absl import flags

from cnnjax.data.describe import describe
from cnnjax.engine import log
from cnnjax.engine.config import load_config, resolve
from cnnjax.engine.fit import fit, plan
from cnnjax.engine.hosts import is_primary, on_primary
from cnnjax.engine.record import read_rows
from cnnjax.engine.run import (
  locked,
  new_folder,
  newest,
  note_data,
  note_environment,
  open_folder,
)
from cnnjax.engine.splits import note_split
from cnnjax.engine.start import begin
from cnnjax.errors import UserError

from . import launch

FLAGS = flags.FLAGS
SHOWN = 20  # classes in a table


def train(
  config: Any,
  folder: str | Path | None = None,
  *,
  name: str = "run",
  profile: bool = False,
  test: bool = True,
  data_root: str = "",
) -> tuple[Path, dict[str, Any]]:
  """Trains into a run folder, from its newest checkpoint where there is one.

  Args:
    config: of a config file.
    folder: new, empty, or of a run of the same config; None for a new runs/<name>/<n>.
    name: of the config.
    profile: whether to write a profiler's trace of some early steps into the folder.
    test: whether to score the test split at the end.
    data_root: where the data of a run that goes on lie now, if not at the config's data.root.

  Returns: the folder, and the test split's figures.

  Raises: UserError for anything that is wrong in the config, the data or the folder; Stopped after
    SIGTERM, once the state is saved.
  """
  goes_on = folder and (Path(folder) / "config.json").exists()
  if goes_on:
    load_config(folder)  # raises for one that is damaged
  elif data_root:
    raise UserError("--data_root is for a run that goes on; a new one has --config.data.root")
  config, splits = resolve(config, data_root, folder if goes_on else None)
  job = plan(config, splits)  # mistakes in the config show before anything is written
  if jax.process_count() > 1 and not folder:
    raise UserError("several processes need one --workdir, a folder that all of them reach")
  begun = folder and newest(folder) is not None
  start = None if begun else begin(config, job.model, splits["train"])
  folder = Path(folder) if folder else new_folder(name)
  on_primary(lambda: open_folder(folder, config))
  facts = {key: config.data[key] for key in ("name", "root", "classes", "mean", "std")}
  facts |= {"read_as": splits["train"].classes, "splits": describe(splits)}
  facts["not_read"] = splits["train"].unread
  with locked(folder) if is_primary() else nullcontext():
    if is_primary():
      _describe(job, config, facts, folder)
    on_primary(lambda: note_data(folder, facts))
    on_primary(lambda: note_split(folder, splits))
    rows = read_rows(folder / "metrics.jsonl")
    if rows and "zero_weights" in rows[-1]:  # only the last row of a finished run has it
      print(f"finished: this run has ended after step {rows[-1]['step']} of {job.steps}")
      return folder, rows[-1]
    on_primary(lambda: note_environment(folder))
    variables, said = start or (None, ())
    for line in said if is_primary() else ():
      print(f"starts   {line}", flush=True)
    figures = fit(job, config, splits, folder, start=variables, profile=profile, test=test)
    return folder, figures


def _describe(job, config, facts, folder):
  parameters = sum(leaf.size for leaf in jax.tree.leaves(job.shapes.variables["params"]))
  print(f"run      {folder}")
  counts = ", ".join(f"{name} {split['examples']}" for name, split in facts["splits"].items())
  print(f"data     {config.data.name}: {counts}")
  print(f"{config.data.input:8} {job.model.preprocessing}")
  print(f"model    {config.model.name}, {parameters:,} parameters")
  hosts = f" on {jax.process_count()} hosts" if jax.process_count() > 1 else ""
  if list(facts["read_as"]) != list(facts["classes"]):
    called = [f"{b} for {a}" for a, b in zip(facts["read_as"], facts["classes"])]
    print(f"classes  called by data.classes: {', '.join(called[:SHOWN])}")
  _describe_classes(facts["classes"], facts["splits"])
  print(f"devices  {job.mesh.size} x {jax.devices()[0].device_kind}{hosts}", flush=True)


def _describe_classes(names, splits):
  """Prints the number of images or boxes of each class, or the range of each target."""
  what = next((key for key in ("boxes", "pixels") if key in splits["train"]), "")
  cells = {
    split: of.get("boxes")
    or of.get("pixels")
    or of.get("counts")
    or [f"{m:.4g} ± {s:.4g}" for m, s in zip(of["mean"], of["std"])]
    for split, of in splits.items()
  }
  if len(names) <= SHOWN:
    rows = {name: {s: cells[s][place] for s in splits} for place, name in enumerate(names)}
    log.grid(f"{what} in each split".strip(), rows)
  elif "mean" not in splits["train"]:
    counts = cells["train"]
    few, many = min(counts), max(counts)
    print(f"classes  {len(counts)}, with {few} to {many} training {what or 'examples'} each")


def main(argv: list[str]) -> None:
  """Trains, prints the test metrics and what to run next."""
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; train takes flags only")
  folder, figures = train(
    FLAGS.config, FLAGS.workdir, name=FLAGS.name, profile=FLAGS.profile, data_root=FLAGS.data_root
  )
  if not is_primary():
    return
  log.table("test", log.scalars(figures))
  print(f"next: {launch.command('evaluate')} --workdir={folder}")
  print(f"      {launch.command('predict')} --workdir={folder} FILE...")


if __name__ == "__main__":
  flags.DEFINE_string("workdir", None, "run folder; by default a new runs/<config>/<n>")
  flags.DEFINE_string(
    "data_root", "", "where the data of a run that goes on lie now, if they moved"
  )
  launch.define_host_flags()
  flags.DEFINE_bool("profile", False, "write a trace of some early steps into the run folder")
  launch.run(main, config="configs/classification/lenet5_digits.py")
