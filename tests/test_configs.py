"""Every config: its full form is complete, locked and fits its images, its quick form is planned.

A plan traces all that a training computes. Of each kind whose training no other test looks at, one
quick form is trained; the other quick forms are trained by the slow tests.
"""

import importlib.util
import json
from functools import partial
from pathlib import Path

import jax
import pytest

from cnnjax.data import inputs
from cnnjax.engine import optim
from cnnjax.engine.config import build, check, resolve
from cnnjax.engine.fit import plan
from cnnjax.engine.record import read_rows
from cnnjax.keys import flatten
from cnnjax.models import zoo
from experiments.train import train

CONFIGS = sorted(
  path
  for path in (Path(__file__).parents[1] / "configs").rglob("*.py")
  if path.parent.name != "spaces"  # of experiments.sweep
)
SECTIONS = {
  "seed",
  "model",
  "data",
  "augment",
  "task",
  "optim",
  "init",
  "train",
  "checkpoint",
  "mesh",
}


def load(path):
  spec = importlib.util.spec_from_file_location("config", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


BY_STAGES = ("rcnn_bccd", "sppnet_bccd")  # tests/experiments/test_train_rcnn.py trains them
FIRST = (  # the others, which share their code, are slow
  "cifar10_speedrun",
  "fast_rcnn_bccd",
  "lenet5_1998_mnist",
  "mask_rcnn_nuclei",  # all that Faster R-CNN does, too
  "r3d_moving_digits",
  "series_cnn_npz",
)
TRAINED = [
  pytest.param(path, id=path.stem, marks=() if path.stem in FIRST else pytest.mark.slow)
  for path in CONFIGS
  if path.stem not in BY_STAGES
]


def keys(config):
  """Returns the names of a config's keys; all arguments of a section count as one."""
  return {key.split(".arguments")[0] for key in flatten(config.to_dict())}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_full_form_fits_its_images(path):
  config = load(path).get_config().unlock()
  config.model.num_classes = config.model.num_classes or 3
  config.data.mean, config.data.std = config.data.mean or (0.5,), config.data.std or (0.25,)
  *space, channels = zoo.row(config.model.name).input
  config.data.channels = config.data.channels or channels
  if config.data.input == "series":
    config.data.length = space[0]
  elif config.data.input == "volume_series":
    config.data.update(length=config.data.length or space[0], crop=config.data.crop or space[1:])
  elif config.data.input == "volume":
    config.data.crop = config.data.crop or (() if config.data.get("tile") else (16, 16, 16))
  else:
    config.data.resize = config.data.resize or tuple(space[-2:])
  model = build(config)
  empty = inputs.empty(model.preprocessing)
  made = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), empty)
  optim.check(config.optim, made["params"])  # patterns in it find their parameters


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_config(path, tmp_path):
  module = load(path)
  assert "python -m experiments." in module.__doc__
  full, quick = module.get_config(), module.get_config("quick")
  for config in (full, quick):
    assert config.is_locked
    assert set(config.keys()) == SECTIONS
    check(config)
  assert keys(full) == keys(quick)
  if path.stem not in FIRST:  # else it is planned below
    config, splits = resolve(quick)
    job = plan(config, splits)
    assert job.steps > 0 and config.model.num_classes == len(splits["train"].classes)


@pytest.mark.parametrize("path", TRAINED)
def test_quick_form_trains(path, tmp_path):
  quick = load(path).get_config("quick").unlock()
  boxes, prompts = quick.task.name == "detection", quick.task.name == "promptable"
  classes, examples = (2, 8) if boxes else (8 if "moving" in path.stem else 10, 256)
  of_source = {"correlated_regions": 2, "solids": 2 if quick.task.name == "classification" else 3}
  classes = of_source.get(quick.data.name, classes)
  if boxes:
    quick.train.epochs = 0.5  # of 32 scenes, 8 at a time
  elif prompts:
    quick.data.fraction, quick.train.epochs, classes = 0.12, 1.0, 2  # 17 objects, 8 at a time
  else:
    quick.data.arguments.examples = examples
    kept = examples * (1 - quick.data.validation)
    quick.data.batch_size, quick.train.epochs = 16, 2 * 16 / kept
  _, figures = train(quick, tmp_path / "run")
  rows = read_rows(tmp_path / "run" / "metrics.jsonl")
  assert [row["split"] for row in rows] == ["train", *filter(None, [quick.train.watch]), "test"]
  assert {row["step"] for row in rows} == {2}
  assert 0 < rows[0]["loss"] < 100
  assert figures["examples"] == examples or prompts
  part = next((k for k in ("map50", "accuracy", "pixel_accuracy", "dice") if k in figures), "")
  assert "rmse" in figures or 0 <= figures[part] <= 1
  made = json.loads((tmp_path / "run" / "config.json").read_text())
  assert made["model"]["num_classes"] == classes
  facts = json.loads((tmp_path / "run" / "data.json").read_text())
  assert facts["splits"]["test"]["examples"] == figures["examples"]
  assert len(facts["classes"]) == classes
