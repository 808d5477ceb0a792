"""The run folder: what it holds, and how a run is loaded from it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from cnnjax import keys
from cnnjax.checkpoints.store import Store
from cnnjax.data import inputs
from cnnjax.data.table import Table
from cnnjax.engine.config import build, load_completed, load_config, tuples
from cnnjax.engine.environment import environment
from cnnjax.engine.mesh import make_mesh, replicated
from cnnjax.engine.predict import predict
from cnnjax.engine.record import read_json, read_rows, write_json, write_text, writing
from cnnjax.engine.splits import load_splits
from cnnjax.errors import UserError, say, some
from cnnjax.keys import flatten


def new_folder(name: str, under: str | Path = "runs") -> Path:
  """Makes and returns the folder UNDER/<name>/<n>, where n is the next free number."""
  parent = Path(under) / name
  with writing(parent):
    parent.mkdir(parents=True, exist_ok=True)
  number = 1 + max((int(p.name) for p in parent.glob("*") if p.name.isdecimal()), default=0)
  while True:
    try:
      (parent / str(number)).mkdir()
      return parent / str(number)
    except FileExistsError:  # another run was started at the same time
      number += 1


def open_folder(folder: Path, config: Any) -> None:
  """Makes a run's folder with its config, or checks that an existing one has the same config.

  Raises: UserError where the folder holds something else, with the keys that differ.
  """
  if folder.exists() and not folder.is_dir():
    raise UserError(f"--workdir must be a folder, but {folder} is a file")
  if (folder / "config.json").exists():
    differ = differences(load_config(folder).to_dict(), config.to_dict())
    if differ:
      moved = ", or --data_root where the data have moved" if "data.root:" in differ else ""
      raise UserError(
        f"{folder} holds another run ({differ}); give another --workdir, or these values{moved}"
      )
  elif folder.is_dir() and any(folder.iterdir()):
    raise UserError(f"{folder} holds files but no run; give a --workdir that is new or empty")
  else:
    with writing(folder):
      folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config.to_dict())


def differences(then: dict[str, Any], now: dict[str, Any]) -> str:
  """Returns in words the keys in which two configs' trees differ, "" for none."""
  old, new = flatten(tuples(then)), flatten(tuples(now))
  differ = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
  return some((f"{k}: {old.get(k)!r} then, {new.get(k)!r} now" for k in differ), "; ", count=5)


def tell_edits(folder: str | Path, config: Any, step: int, notes: dict[str, Any]) -> None:
  """Says where a run's config is not the one that a checkpoint was saved with.

  `notes` are the checkpoint's; those of runs of before have no config.
  """
  differ = differences(keys.fill(notes["config"]), config.to_dict()) if "config" in notes else ""
  if differ:
    path = Path(folder) / "config.json"
    say(f"{path} was changed after checkpoint {step} was saved ({differ}); it holds as it is now")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
  """Keeps other processes out of a run folder, by a lock that ends with this process.

  Raises: UserError where another process holds it.
  """
  from filelock import FileLock, Timeout

  holder = folder / "locked_by"  # not the lock file: on Windows no other process could read it
  lock = FileLock(folder / "lock", blocking=False)
  try:
    lock.acquire()
  except Timeout:
    who = holder.read_text().strip() if holder.exists() else "another process"
    raise UserError(f"{folder} is in use: {who} trains in it") from None
  with lock:
    write_text(holder, f"process {os.getpid()} on {socket.gethostname()}\n")
    yield


def newest(folder: str | Path) -> int | None:
  """Returns the newest step that a run's folder holds a checkpoint of, None for none."""
  names = (path.name for path in (Path(folder) / "checkpoints").glob("[0-9]*"))
  return max((int(name) for name in names if name.isdecimal()), default=None)


def note_environment(folder: Path) -> None:
  """Adds this process's environment to environment.json, a list with one entry per process."""
  path = folder / "environment.json"
  before = read_json(path, list) if path.exists() else []
  write_json(path, [*before, environment()])


def note_data(folder: Path, facts: dict[str, Any]) -> None:
  """Writes data.json, once. Raises: UserError where an existing one describes other data."""
  path, facts = folder / "data.json", json.loads(json.dumps(facts))  # tuples become lists
  if not path.exists():
    return write_json(path, facts)
  before = read_json(path, dict)
  of_data = [key for key in facts if key != "not_read"]  # files beside the data may come and go
  differ = ", ".join(key for key in of_data if facts[key] != before.get(key, facts[key]))
  if differ:
    raise UserError(
      f"the data are not those that {folder} began with: {path} has other {differ}; "
      "give another --workdir"
    )


def open_store(folder: str | Path, config: Any, read_only: bool = False) -> Store:
  """Returns the checkpoints of a run folder."""
  options = config.checkpoint
  return Store(
    Path(folder) / "checkpoints",
    keep=options.keep,
    best=options.best if config.train.watch else "",  # without evaluations there is no best
    mode=options.mode,
    read_only=read_only,
  )


@dataclass(frozen=True)
class Run:
  """A run that was loaded from its folder: `run.predict(images)` takes images of any size.

  Attributes:
    folder: of the run.
    config: that it was trained with, completed.
    model: with the run's preprocessing.
    variables: of the checkpoint.
    step: of the checkpoint.
    parameters: "raw" or "ema".
    metrics: the rows of metrics.jsonl.
  """

  folder: Path
  config: Any
  model: Any
  variables: dict[str, Any]
  step: int
  parameters: str
  metrics: list[dict[str, Any]]

  def load_splits(self, root: str | Path = "") -> dict[str, Table]:
    """Returns the splits of the run's data, read anew: the run's examples and order of classes.

    Args:
      root: where the data lie now, where they were moved.

    Raises: UserError for data that cannot be read, or have other classes.
    """
    return load_splits(self.config, root, self.folder)

  def predict(self, examples: Any, **options: Any) -> list[dict[str, Any]]:
    """Returns one answer for each example; see `cnnjax.predict`."""
    task, classes = self.config.task.to_dict(), self.config.data.classes
    given = {"task": task.pop("name"), "classes": classes, **task, **options}
    if self.config.data.get("proposals"):
      given = {"proposals": {"seed": self.config.seed, **self.config.data.proposals}, **given}
    return predict(self.model, self.variables, examples, **given)


def restore(folder: str | Path, checkpoint: str | int = "latest", parameters: str = "auto") -> Run:
  """Returns the run in a folder with the variables of one of its checkpoints.

  Args:
    folder: of the run.
    checkpoint: "latest", "best" or a step.
    parameters: "raw", "ema" (the moving average), or "auto": the average where the run keeps one,
      else the raw ones.

  Raises: UserError where the folder, the checkpoint or the average is not there.
  """
  config = load_completed(folder)
  if parameters not in ("auto", "raw", "ema"):
    raise UserError(f'parameters must be "auto", "raw" or "ema", found {parameters!r}')
  if parameters == "ema" and not config.train.ema:
    raise UserError(f"{folder} keeps no moving average: its train.ema is 0")
  key = "ema" if parameters == "ema" or (parameters == "auto" and config.train.ema) else "variables"
  if not (Path(folder) / "checkpoints").is_dir():
    raise UserError(f"{folder} holds no checkpoint yet")
  model = build(config)
  init = lambda key: model.init(key, inputs.empty(model.preprocessing), train=False)  # noqa: E731
  shapes = jax.eval_shape(init, jax.random.key(0))
  with open_store(folder, config, read_only=True) as store:
    step = store.find(checkpoint)
    tell_edits(folder, config, step, store.notes(step))
    found = store.restore(step, {key: shapes}, replicated(make_mesh(1)))
  rows = read_rows(Path(folder) / "metrics.jsonl")
  kind = "ema" if key == "ema" else "raw"
  return Run(Path(folder), config, model, found[key], step, kind, rows)
