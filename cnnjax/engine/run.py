"""The run folder: what stands in it, and a finished or running one brought back."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.checkpoints.store import Store
from cnnjax.data import pipeline
from cnnjax.data.table import Table
from cnnjax.engine.evaluate import predict
from cnnjax.engine.mesh import make_mesh, replicated
from cnnjax.errors import UserError
from cnnjax.models import zoo
from cnnjax.ops.preprocess import Preprocessing

LIBRARIES = ("cnnjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def complete(config: Any, splits: dict[str, Table]) -> Any:
  """Returns the config with what only the data tell: classes, mean and deviation.

  Raises: UserError where the model has fewer classes than the data.
  """
  config = config.copy_and_resolve_references()
  train = splits["train"]
  with config.unlocked():
    config.data.classes = config.data.classes or train.classes
    config.model.num_classes = config.model.num_classes or len(train.classes)
    if not config.data.mean:
      config.data.mean, config.data.std = pipeline.moments(train)
    config.data.channels = config.data.channels or train.columns["image"].shape[-1]
  if config.model.num_classes < len(train.classes):
    raise UserError(
      f"model.num_classes is {config.model.num_classes}, but the data have {len(train.classes)} "
      "classes; leave it at 0 to take theirs"
    )
  return config.lock()


def build(config: Any) -> Any:
  """Returns the model that a completed config names, with the run's own preprocessing."""
  data, model = config.data, config.model
  preprocessing = Preprocessing(
    resize=tuple(data.resize) or None,
    crop=tuple(data.crop) or None,
    channels=data.channels,
    mean=tuple(data.mean),
    std=tuple(data.std),
  )
  return zoo.create_model(
    model.name,
    num_classes=model.num_classes,
    dtype=model.dtype,
    preprocessing=preprocessing,
    **model.arguments,
  )


def new_folder(name: str, under: str | Path = "runs") -> Path:
  """Makes and returns runs/<name>/<n>, n the next number."""
  parent = Path(under) / name
  parent.mkdir(parents=True, exist_ok=True)
  taken = [int(p.name) for p in parent.iterdir() if p.name.isdecimal()]
  n = max(taken, default=0) + 1
  while True:
    try:
      (parent / str(n)).mkdir()
      return parent / str(n)
    except FileExistsError:  # another process was quicker
      n += 1


def open_folder(folder: Path, config: Any) -> None:
  """Makes a run's folder with its config, or checks that the one there is of the same config.

  Raises: UserError where it holds something else, with the keys that differ.
  """
  if (folder / "config.json").exists():
    old, new = _flat(load_config(folder).to_dict()), _flat(_tuples(config.to_dict()))
    differ = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    if differ:
      shown = "; ".join(f"{k}: {old.get(k)!r} there, {new.get(k)!r} now" for k in differ[:5])
      more = f" and {len(differ) - 5} more" if len(differ) > 5 else ""
      raise UserError(
        f"{folder} holds another run ({shown}{more}); give another --workdir, or these values"
      )
  elif folder.is_dir() and any(folder.iterdir()):
    raise UserError(f"{folder} holds files but no run; give a --workdir that is new or empty")
  else:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config.to_dict())
  write_json(folder / "environment.json", environment())


def load_config(folder: str | Path) -> Any:
  """Returns the config of a run folder. Raises: UserError where there is none."""
  from ml_collections import ConfigDict

  path = Path(folder) / "config.json"
  if not Path(folder).is_dir():
    raise UserError(f"no run folder at {folder}")
  if not path.exists():
    raise UserError(f"{folder} holds no run: it has no config.json")
  try:
    return ConfigDict(_tuples(json.loads(path.read_text()))).lock()
  except ValueError as error:
    raise UserError(f"{path} is damaged: {error}") from error


def open_store(folder: str | Path, config: Any) -> Store:
  """Returns the checkpoints of a run folder."""
  c = config.checkpoint
  return Store(Path(folder) / "checkpoints", keep=c.keep, best=c.best, mode=c.mode)


def read_rows(path: Path) -> list[dict[str, Any]]:
  """Returns the rows of a metrics.jsonl, without a last line that was cut off."""
  if not path.exists():
    return []
  lines = path.read_text().splitlines(keepends=True)
  return [json.loads(line) for line in lines if line.endswith("\n")]


def write_json(path: Path, value: Any) -> None:
  """Writes a file whole or not at all."""
  scratch = path.with_name(path.name + ".tmp")
  scratch.write_text(json.dumps(value, indent=2) + "\n")
  scratch.replace(path)


def environment() -> dict[str, Any]:
  """Returns what a run's numbers may depend on: versions, devices, commit, command."""
  here = Path(__file__).parent
  git = subprocess.run(
    ["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True
  )
  return {
    "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    "commit": git.stdout.strip() or None,
    "python": platform.python_version(),
    **{name: metadata.version(name) for name in LIBRARIES},
    "platform": platform.platform(),
    "cpu": cpu_model(),
    "cores": os.cpu_count(),
    "devices": [f"{d.platform} {d.device_kind}" for d in jax.devices()],
    "xla_flags": os.environ.get("XLA_FLAGS", ""),
  }


def cpu_model() -> str:
  """Returns the processor's name."""
  try:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
  except (OSError, StopIteration):
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Run:
  """A run brought back: `run.predict(images)` answers for images of any size.

  Attributes:
    folder: where it lies.
    config: as it was trained, completed.
    model: with the run's preprocessing.
    variables: of the checkpoint.
    step: of the checkpoint.
    metrics: the rows of metrics.jsonl.
  """

  folder: Path
  config: Any
  model: Any
  variables: dict[str, Any]
  step: int
  metrics: list[dict[str, Any]]

  def predict(self, images: Any, **options: Any) -> list[dict[str, Any]]:
    """Returns one answer for each image; see `cnnjax.predict`."""
    task, classes = self.config.task.name, self.config.data.classes
    return predict(self.model, self.variables, images, task=task, classes=classes, **options)


def restore(
  folder: str | Path, checkpoint: str | int = "latest", parameters: str = "auto"
) -> Run:
  """Returns the run in a folder with the variables of one of its checkpoints.

  Args:
    folder: of the run.
    checkpoint: "latest", "best" or a step.
    parameters: "raw", "ema" (the moving average) or "auto": the average where the run keeps one.

  Raises: UserError where the folder, the checkpoint or the average is not there.
  """
  config = load_config(folder)
  if parameters not in ("auto", "raw", "ema"):
    raise UserError(f'parameters must be "auto", "raw" or "ema", found {parameters!r}')
  if parameters == "ema" and not config.train.ema:
    raise UserError(f"{folder} keeps no moving average: its train.ema is 0")
  key = "ema" if parameters == "ema" or (parameters == "auto" and config.train.ema) else "variables"
  if not (Path(folder) / "checkpoints").is_dir():
    raise UserError(f"{folder} holds no checkpoint yet")
  model = build(config)
  shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), example(model))
  with open_store(folder, config) as store:
    step = store.find(checkpoint)
    found = store.restore(step, {key: shapes}, replicated(make_mesh(1)))
  rows = read_rows(Path(folder) / "metrics.jsonl")
  return Run(Path(folder), config, model, found[key], step, rows)


def example(model: Any) -> jax.Array:
  """Returns an input that a model's variables can be made with."""
  return jnp.zeros((1, *model.preprocessing.shape), jnp.float32)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for key, value in tree.items():
    flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
  return flat


def _tuples(value: Any) -> Any:
  """JSON has lists where configs have tuples."""
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
