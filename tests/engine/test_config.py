"""A run's config, read back; the table of its keys."""

import inspect
import json

import pytest

from cnnjax import keys, tasks
from cnnjax.data import augment_volume, inputs
from cnnjax.data.augment import KINDS
from cnnjax.engine.config import load_completed, load_config
from cnnjax.errors import UserError
from configs.classification import lenet5_digits

OF_EVALUATION = {"model", "rows", "top_k"}  # options of a task that are no keys of a config


def test_a_run_of_before_some_keys(tmp_path):
  """A default is what a run did that was trained before the key was there."""
  config = lenet5_digits.get_config("quick")
  config.data.update(classes=("a", "b"), channels=1, mean=(0.5,), std=(0.2,))
  config.model.num_classes = 2
  tree = config.to_dict()
  del tree["init"], tree["data"]["proposals"], tree["data"]["input"], tree["task"]["views"]
  tree["augment"] = {"shift": 3, "flip": False}
  tree["data"]["fraction"] = 0.5
  path = tmp_path / "config.json"
  path.write_text(json.dumps(tree))
  found = load_config(tmp_path)
  config.unlock().data.fraction = 0.5
  assert found.to_dict() == config.to_dict()
  for broken in (
    {"data": 3},
    {"model": {**tree["model"], "name": None}},
    {"model": {**tree["model"], "dtype": -1}},
    {"model": {**tree["model"], "num_classes": 3}},
    *({"data": {**tree["data"], "channels": count}} for count in (0, -1, True, 2_000_000_000)),
    *({"data": {**tree["data"], "crop": size}} for size in (None, "a", (1.5, 2), (0, 3), {})),
    {"data": {**tree["data"], "classes": ("a", 1)}},
    {"data": {**tree["data"], "mean": (float("nan"),)}},
  ):
    path.write_text(json.dumps({**tree, **broken}))
    with pytest.raises(UserError, match="config.json is damaged: .*"):
      load_completed(tmp_path)
  for text in ("", '{"data', "3", "[" * 100_000):
    path.write_text(text)
    with pytest.raises(UserError, match="config.json is damaged: .*"):
      load_config(tmp_path)
  path.write_bytes(json.dumps(tree).encode().replace(b"lenet5", b"len\xfft5"))
  with pytest.raises(UserError, match="config.json is damaged: .*utf-8"):
    load_config(tmp_path)


def test_defaults_are_within_their_bounds_and_refuse_a_misspelt_key():
  for task in tasks.TASKS:
    for input in inputs.INPUTS:
      keys.check(keys.defaults(task, input).to_dict())
  config = keys.defaults()
  config.model.arguments.anything, config.optim.learning_rate = 1, 1  # open; an int for a float
  with pytest.raises(AttributeError, match="lerning_rate"):
    config.optim.lerning_rate = 1.0
  with pytest.raises(KeyError, match="rotat"):
    config.augment.update(rotat=1.0)


@pytest.mark.parametrize(
  "section, key, value, sentence",
  [
    ("model", "name", None, "model.name must be a word; found None"),
    ("train", "epochs", float("nan"), "train.epochs must be a finite number .* found nan"),
    (
      "train",
      "accumulate",
      2.0,
      "train.accumulate must be a whole number of at least 1; found 2.0",
    ),
    ("augment", "flip", 1, "augment.flip must be True or False; found 1"),
    ("task", "class_weights", "even", "tuple of finite numbers, or 'balanced'; found 'even'"),
    ("optim", "penalties", (1,), "optim.penalties must be a tuple of rows"),
    ("optim", "lerning_rate", 1.0, "unknown config key 'optim.lerning_rate'; did you mean optim.l"),
    ("task", "delta", 1.0, "task.delta is a key of regression alone, but the config is of class"),
    ("data", "length", 3, "data.length is a key of series and volume_series alone"),
    ("seed", None, -1, "seed must be a whole number of at least 0 and below 4294967296; found -1"),
    ("train", "ema", 1.0, "train.ema must be a finite number of at least 0 and below 1; found 1.0"),
    ("train", "epochs", "ten", "train.epochs must be a finite number of at least 0; found .ten."),
    ("checkpoint", "mode", "least", "checkpoint.mode must be .max. or .min.; found .least."),
    ("other", "key", 1, "unknown config key 'other.key'"),
  ],
)
def test_a_wrong_key_or_value_is_a_user_error(section, key, value, sentence):
  tree = keys.defaults().to_dict()
  tree[section] = {**tree.get(section, {}), key: value} if key else value
  with pytest.raises(UserError, match=sentence):
    keys.check(tree)


def test_a_missing_key_is_a_user_error():
  tree = keys.defaults().to_dict()
  del tree["train"]["epochs"]
  with pytest.raises(UserError, match="the config has no train.epochs"):
    keys.check(tree)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_table_has_the_options_of_every_task(task):
  takes, module = set(), tasks.TASKS[task]
  for field in {*tasks.Task._fields, "complete"} & {*vars(module)}:
    parameters = inspect.signature(getattr(module, field)).parameters.values()
    takes |= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
  options = {name for name in keys.of(task, "image") if name.startswith("task.")}
  assert options == {"task.name", *(f"task.{name}" for name in takes - OF_EVALUATION)}


def test_the_table_has_every_augmentation():
  assert {*KINDS, *augment_volume.KINDS} == {*keys.AUGMENT}
