"""Trains one network of each family for a few steps: python -m experiments.first_steps.

  python -m experiments.first_steps --config.data.root=FOLDER_WITH_TRAIN_AND_TEST [--steps=200]

Each is trained on the data of --config with the config's optimiser, on images of the smallest size
that suits it. A table shows its parameters, multiply-adds per image, seconds per step, and the mean
loss of the first ten and the last fifty steps. --models=NAME,NAME takes other networks. --out=DIR
keeps the run folders; the same command then continues where it was interrupted.
"""

from pathlib import Path
from statistics import mean, median
from typing import Any

from absl import flags

import cnnjax
from cnnjax.engine import log
from cnnjax.engine.config import load_config, resolve
from cnnjax.engine.record import read_rows, write_json
from cnnjax.errors import UserError
from cnnjax.models import zoo

from . import launch
from .train import train

FLAGS = flags.FLAGS
FAMILIES = {  # name: side of its images in pixels
  "logistic": 32,
  "mlp": 32,
  "lecture_cnn": 64,
  "local_net": 32,
  "tumor_net": 128,
  "lenet5": 32,
  "lenet5_1998": 32,
  "alexnet": 96,
  "alexnet_2012": 227,
  "vgg11": 32,
  "vgg16_bn": 64,  # at 32 batch norm would get maps of one pixel
  "googlenet": 96,
  "googlenet_2014": 96,
  "resnet18": 64,
  "resnet50": 64,
  "resnet20_cifar": 32,
  "plain20_cifar": 32,
  "highway20_cifar": 32,
  "seresnet20_cifar": 32,
  "seresnet50": 64,
  "legacy_senet154": 32,
  "densenet121": 64,
  "mobilenet_v1": 96,
  "mobilenet_v2": 96,
}
ROW, LAST = 10, 50  # steps of a row of the log; steps of the final mean


def first_steps(name: str, config: Any, epochs: float, folder: Path) -> dict[str, Any]:
  """Returns the figures of a network, trained by a config for so many epochs."""
  side = FAMILIES.get(name, zoo.row(name).input[0])
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.model.name, config.data.resize = name, (side, side)
    config.data.channels = zoo.row(name).input[-1]
    config.data.validation, config.train.watch, config.train.evaluate_every = 0.0, "", 0.0
    config.train.log_every, config.checkpoint.best, config.checkpoint.keep = ROW, "", 1
    config.train.epochs = epochs
  _, figures = train(config, folder)
  rows = [row for row in read_rows(folder / "metrics.jsonl") if row["split"] == "train"]
  classes = load_config(folder).model.num_classes
  summary = cnnjax.summarize(name, (side, side, config.data.channels), num_classes=classes)
  return {
    "side": side,
    "parameters": summary.parameters,
    "multiply_adds": summary.multiply_adds,
    "seconds_a_step": config.data.batch_size / median(r["images_per_second"] for r in rows[1:]),
    "loss_before": rows[0]["loss"],
    "loss_after": mean(row["loss"] for row in rows if row["step"] > rows[-1]["step"] - LAST),
    "test_accuracy": figures.get("accuracy"),
  }


def shown(found: dict[str, Any]) -> dict[str, str]:
  """Returns the figures as a row of the table."""
  return {
    "image": f"{found['side']}",
    "parameters": f"{found['parameters']:,}",
    "GMACs": f"{found['multiply_adds'] / 1e9:.3f}",
    "s a step": f"{found['seconds_a_step']:.3f}",
    "loss before": f"{found['loss_before']:.3f}",
    "after": f"{found['loss_after']:.3f}",
    "test accuracy": f"{found['test_accuracy']:.3f}",
  }


def main(argv: list[str]) -> None:
  """Prints the table."""
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; models are named by --models=NAME,NAME")
  names, out = FLAGS.models or list(FAMILIES), Path(FLAGS.out)
  for name in names:
    zoo.row(name)
  out.mkdir(parents=True, exist_ok=True)
  _, splits = resolve(FLAGS.config)
  examples = sum(len(table) for split, table in splits.items() if split != "test")
  epochs = FLAGS.steps * FLAGS.config.data.batch_size / examples
  found = {}
  for name in names:
    found[name] = first_steps(name, FLAGS.config, epochs, out / name)
    write_json(out / "first_steps.json", found)
    log.grid(f"{FLAGS.steps} steps", {n: shown(f) for n, f in found.items()})
  stuck = [name for name, f in found.items() if not f["loss_after"] < f["loss_before"]]
  print(f"the loss fell in {len(found) - len(stuck)} of {len(found)}", *stuck)


if __name__ == "__main__":
  flags.DEFINE_list("models", [], "names of the zoo; by default one of each family")
  flags.DEFINE_integer("steps", 200, "of each training", lower_bound=60)
  flags.DEFINE_string("out", "runs/first_steps", "folder for the runs and first_steps.json")
  launch.run(main, config="configs/classification/resnet18_brain_tumor.py")
