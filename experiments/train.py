"""Trains what a config says: python -m experiments.train [--config=FILE[:quick]] [--workdir=DIR].

Any key of the config is a flag: --config.optim.learning_rate=0.01 --config.seed=1. The run folder
holds all that evaluate and predict need; the same command goes on where a run was cut off.
"""

from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from cnnjax.data import catalogue
from cnnjax.data.image import prepare
from cnnjax.engine import log
from cnnjax.engine.config import build, complete
from cnnjax.engine.fit import fit, total_steps
from cnnjax.engine.run import new_folder, open_folder, read_rows
from experiments import launch

CONFIG = config_flags.DEFINE_config_file(
  "config", "configs/classification/lenet5_digits.py", "config file, with :quick for a short try"
)
WORKDIR = flags.DEFINE_string("workdir", None, "run folder; by default a new runs/<config>/<n>")
PROFILE = flags.DEFINE_bool("profile", False, "write a trace of ten steps in into the run folder")


def train(config: Any, folder: Path, profile: bool = False) -> dict[str, Any]:
  """Trains into a run folder and returns the test split's figures."""
  splits = catalogue.load(config.data, config.seed)
  config = complete(config, splits)
  model = build(config)
  splits = {name: prepare(table, model.preprocessing) for name, table in splits.items()}
  open_folder(folder, config)
  print(f"run      {folder}")
  print(f"data     {config.data.name}: {', '.join(f'{n} {len(t)}' for n, t in splits.items())}")
  print(f"model    {config.model.name}, input {model.preprocessing}")
  print(f"devices  {len(jax.devices())} {jax.devices()[0].device_kind}", flush=True)
  steps = total_steps(config, splits)
  rows = read_rows(folder / "metrics.jsonl")
  if rows and (rows[-1]["step"], rows[-1]["split"]) == (steps, "test"):
    print(f"finished: this run has made all its {steps} steps")
    return rows[-1]
  return fit(config, splits, folder, profile=profile)


def main(argv: list[str]) -> None:
  """Trains, prints the test metrics and what to run next."""
  config_file = flags.FLAGS["config"].config_filename
  name = Path(config_file.split(":")[0]).stem + config_file.partition(":")[2]
  folder = Path(WORKDIR.value) if WORKDIR.value else new_folder(name)
  figures = train(CONFIG.value, folder, PROFILE.value)
  log.table("test", log.scalars(figures))
  print(f"next: python -m experiments.evaluate --workdir={folder}")
  print(f"      python -m experiments.predict --workdir={folder} IMAGE...")


if __name__ == "__main__":
  launch.run(main)
