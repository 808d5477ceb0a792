"""A run's config, read back; the table of its keys."""

import inspect
import json

import pytest

from cnnjax import keys, tasks
from cnnjax.data import inputs
from cnnjax.data.augment import KINDS
from cnnjax.engine.config import load_config
from cnnjax.errors import UserError
from configs.classification import lenet5_digits

OF_EVALUATION = {"model", "rows", "top_k"}  # options of a task that are no keys of a config


def test_a_run_of_before_some_keys(tmp_path):
  """A default is what a run did that was trained before the key was there."""
  config = lenet5_digits.get_config("quick")
  tree = config.to_dict()
  del tree["init"], tree["data"]["proposals"], tree["data"]["input"], tree["task"]["views"]
  tree["augment"] = {"shift": 3, "flip": False}
  tree["data"]["fraction"] = 0.5
  path = tmp_path / "config.json"
  path.write_text(json.dumps(tree))
  found = load_config(tmp_path)
  config.unlock().data.fraction = 0.5
  assert found.to_dict() == config.to_dict()
  path.write_text(json.dumps({**tree, "data": 3}))
  with pytest.raises(UserError, match="is damaged"):
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
    ("optim", "lerning_rate", 1.0, "unknown config key 'optim.lerning_rate'; did you mean optim.l"),
    ("task", "delta", 1.0, "task.delta is a key of regression alone, but the config is of class"),
    ("data", "length", 3, "data.length is a key of series alone"),
    ("seed", None, -1, "seed must be a number of at least 0 and below 4294967296; found -1"),
    ("train", "ema", 1.0, "train.ema must be a number of at least 0 and below 1; found 1.0"),
    ("train", "epochs", "ten", "train.epochs must be a number of at least 0, and finite; found"),
    ("checkpoint", "mode", "least", "checkpoint.mode must be 'max' or 'min', found 'least'"),
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
  for field in (*tasks.Task._fields, "complete"):
    parameters = inspect.signature(getattr(module, field)).parameters.values()
    takes |= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
  options = {name for name in keys.of(task, "image") if name.startswith("task.")}
  assert options == {"task.name", *(f"task.{name}" for name in takes - OF_EVALUATION)}


def test_the_table_has_every_augmentation():
  assert set(KINDS) == set(keys.AUGMENT)
