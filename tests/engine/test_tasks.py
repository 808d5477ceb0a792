"""Each task from its data to an answer: trained, cut off, scored, asked, described."""

import json

import numpy as np
import pytest

import cnnjax
from cnnjax.engine.config import resolve
from cnnjax.engine.fit import fit, plan
from cnnjax.engine.record import read_rows
from cnnjax.engine.run import note_data, open_folder
from cnnjax.errors import UserError
from experiments.evaluate import score
from experiments.launch import read_config
from experiments.train import train
from tests.engine.test_fit import cut_off

CONFIGS = {
  "regression": "configs/regression/resnet18_cell_areas.py",
  "multilabel": "configs/multilabel/resnet18_bccd.py",
}


def config_of(task, **changes):
  config = read_config(f"{CONFIGS[task]}:quick")
  label = config.data.arguments.label
  config.data.arguments = dict(label=label, classes=3, examples=120)
  config.train.epochs, config.train.evaluate_every = 2.0, 0.5
  with config.unlocked():
    config.update_from_flattened_dict(changes)
  return config


@pytest.fixture(scope="module", params=list(CONFIGS))
def finished(request, tmp_path_factory):
  """A finished run of each task, with its test figures."""
  folder = tmp_path_factory.mktemp("runs") / request.param
  return request.param, *train(config_of(request.param), folder)


def test_config_is_completed_and_data_described(finished):
  task, folder, figures = finished
  config, facts = (json.loads((folder / n).read_text()) for n in ("config.json", "data.json"))
  assert config["model"]["num_classes"] == 3 == len(config["data"]["classes"])
  assert facts["classes"] == config["data"]["classes"] and facts["mean"] == config["data"]["mean"]
  of_train = facts["splits"]["train"]
  assert of_train["examples"] == 108
  if task == "regression":
    assert (config["task"]["mean"], config["task"]["std"]) == (of_train["mean"], of_train["std"])
    assert 30 < of_train["mean"][0] < 70 and figures["rmse"] < 40
  else:
    assert all(30 < count < 80 for count in of_train["counts"])


def test_what_is_restored_scores_the_same_and_best_is_best(finished):
  task, folder, figures = finished
  run = cnnjax.restore(folder)
  again = score(run, "test")
  assert {k: again[k] for k in figures} == figures
  assert again["examples"] == 120 and ("pairs" in again) == (task == "regression")
  name, best = ("rmse", min) if task == "regression" else ("macro_f1", max)
  watched = [
    row[name] for row in read_rows(folder / "metrics.jsonl") if row["split"] == "validation"
  ]
  assert len(watched) == 4
  assert score(cnnjax.restore(folder, "best"), "validation")[name] == best(watched)


def test_answers(finished):
  task, folder, _ = finished
  run = cnnjax.restore(folder)
  images = np.random.default_rng(0).integers(0, 256, (3, 40, 30, 3), dtype=np.uint8)
  answers, names = run.predict(images), run.config.data.classes
  for answer in answers:
    if task == "regression":
      assert list(answer["targets"]) == list(names)
      assert list(answer["targets"].values()) == answer["values"]
      assert all(-100 < value < 200 for value in answer["values"])  # as the targets, 0 to 100
    else:
      assert answer["labels"] == [int(p > 0.5) for p in answer["probabilities"]]
      assert answer["classes"] == [n for n, there in zip(names, answer["labels"]) if there]
  options = run.config.task.to_dict()
  direct = cnnjax.predict(run.model, run.variables, images, task=options.pop("name"), **options)
  assert direct[0].keys() == answers[0].keys() - {"targets", "classes"}


@pytest.mark.parametrize("finished", ["regression"], indirect=True)
def test_a_run_cut_off_ends_with_the_same_figures(finished, tmp_path):
  task, folder, figures = finished
  config, splits = resolve(config_of(task, **{"checkpoint.every": 3}))
  job = plan(config, splits)
  open_folder(tmp_path / "cut", config)

  with pytest.raises(KeyboardInterrupt):
    fit(cut_off(job, 8), config, splits, tmp_path / "cut")
  assert fit(job, config, splits, tmp_path / "cut") == figures


def test_a_resumed_run_keeps_its_description_and_other_data_are_refused(finished, capsys):
  task, folder, _ = finished
  before = (folder / "data.json").read_text()
  train(config_of(task), folder)
  assert (folder / "data.json").read_text() == before
  shown = capsys.readouterr().out
  assert "120 degrees" in shown and ("±" in shown) == (task == "regression")
  facts = json.loads(before)
  facts["splits"]["test"]["examples"] += 1
  with pytest.raises(UserError, match="not those that .* began with: .*data.json has other splits"):
    note_data(folder, facts)


@pytest.mark.parametrize(
  ("task", "changes", "sentence"),
  [
    ("regression", {"data.arguments.label": "class"}, "task regression needs numbers"),
    ("multilabel", {"data.arguments.label": "numbers"}, "needs 0 or 1 for each label, .* train"),
    ("regression", {"task.delta": -1.0}, "task.delta must be a finite number of at least 0"),
    ("regression", {"data.sampling": "balanced"}, "balanced needs a class for each image"),
    ("multilabel", {"task.positive_weights": (1.0, 2.0)}, "above 0 for each of 3"),
    ("multilabel", {"task.label_smoothing": 0.1}, "a key of classification alone"),
    ("multilabel", {"checkpoint.best": "macro_f2"}, "did you mean macro_f1"),
    ("multilabel", {"task.name": "multilable"}, "unknown task 'multilable'; did you mean multila"),
  ],
)
def test_refused_before_anything_is_written(tmp_path, task, changes, sentence):
  with pytest.raises(UserError, match=sentence):
    train(config_of(task, **changes), tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_balance_becomes_numbers_in_the_config():
  config = config_of("multilabel")
  for balanced in ("balanced", ("balanced",)):  # the second as the command line gives it
    with config.unlocked():
      config.task = dict(name="multilabel", positive_weights=balanced)
    found, splits = resolve(config.lock())
    there = splits["train"].columns["target"].sum(0)
    np.testing.assert_allclose(found.task.positive_weights, (108 - there) / there)
