"""A search from its first trial to the config that it ends with, cut off on the way."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from PIL import Image

from cnnjax.engine.hosts import Stopped
from cnnjax.engine.record import read_rows
from cnnjax.engine.run import locked
from cnnjax.errors import UserError
from experiments import sweep
from experiments.launch import read_config
from experiments.searching import study as studies
from experiments.searching.outcome import importance
from experiments.searching.space import changed, read_space, write_config
from experiments.searching.study import draw, open_study, search
from experiments.train import train

ROOT = Path(__file__).parents[2]
CONFIG = "configs/classification/lenet5_digits.py:quick"
SPACE = """
def get_space(trial):
  rate = trial.suggest_float("rate", 1e-3, 1e-2, log=True)
  return {"optim.learning_rate": -1.0 if trial.number == 3 else rate}
"""


def config_of(changes=None):
  config = changed(read_config(f"{ROOT / CONFIG}"), {"model.name": "logistic"})  # compiled at once
  return changed(config, changes or {})


def space_of(folder, text):
  (folder / "space.py").write_text(text)
  return str(folder / "space.py")


def returning(folder, values):
  return read_space(space_of(folder, f"def get_space(trial):\n  return {values}\n"))


def is_free(run):
  with locked(run):  # raises where somebody trains there
    return True


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
  """A sweep of 3 trials: killed while the first trains, gone on with; the last one fails."""
  parent = tmp_path_factory.mktemp("sweeps")
  space, folder = space_of(parent, SPACE), parent / "sweep"
  flags = f"--config={CONFIG}", "--config.model.name=logistic", "--trials=1"
  first = subprocess.Popen(
    [sys.executable, "-m", "experiments.sweep", *flags, f"--space={space}", f"--workdir={folder}"],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  while not (folder / "trials/0/lock").exists():  # which it holds from now on
    assert first.poll() is None, first.stdout.read()
    time.sleep(0.05)
  first.kill()
  first.communicate()
  return folder, sweep.sweep(config_of(), space, folder, trials=3, jobs=2)


def test_a_killed_sweep_goes_on_to_its_number_of_trials(resumed):
  folder, study = resumed
  states = [trial.state for trial in study.trials]
  failed, finished = TrialState.FAIL, TrialState.COMPLETE
  assert states == [failed, finished, finished, failed]  # cut off, the same again, new, wrong
  cut_off, again = study.trials[:2]
  assert (again.params, again.user_attrs["run"]) == (cut_off.params, "0")
  assert {p.name for p in (folder / "trials").iterdir() if p.is_dir()} == {"0", "2"}
  assert (
    "learning_rate must be a finite number of at least 0" in (folder / "trials/3.log").read_text()
  )
  for trial in study.trials[1:3]:
    run = folder / "trials" / trial.user_attrs["run"]
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["split"] == "validation"]
    assert list(trial.intermediate_values.values()) == [row["accuracy"] for row in rows]
    assert trial.value == rows[-1]["accuracy"] and is_free(run)


def test_the_best_config_is_that_of_the_best_run(resumed, capsys):
  folder, study = resumed
  config = read_config(str(folder / "best.py"))
  assert config.optim.learning_rate == study.best_trial.params["rate"]
  train(config, folder / "trials" / study.best_trial.user_attrs["run"])
  assert "finished: this run has ended after" in capsys.readouterr().out
  with pytest.raises(UserError, match="has no quick form"):
    read_config(f"{folder / 'best.py'}:quick")
  assert Image.open(folder / "history.png").size > (300, 200)
  assert not (folder / "importance.png").exists()  # of two trials it would say nothing


def test_a_hopeless_trial_is_stopped_and_put_back_and_given_up(tmp_path, monkeypatch, capsys):
  config = config_of({"train.epochs": 200.0, "train.evaluate_every": 1.0})
  space, study = returning(tmp_path, {"optim.learning_rate": 1e-5}), open_study(config, tmp_path)
  for _ in range(5):
    values = dict.fromkeys(range(200), 1.0)
    study.add_trial(optuna.create_trial(value=1.0, intermediate_values=values))
  run = tmp_path / "trials" / "5"

  @contextmanager
  def stop_requested():
    yield (run / "lock").exists

  with monkeypatch.context() as patch, pytest.raises(Stopped):
    patch.setattr(studies, "stop_requested", stop_requested)
    search(study, config, space, tmp_path, trials=6)
  assert [t.state for t in study.trials[5:]] == [TrialState.FAIL, TrialState.WAITING]
  assert is_free(run)

  search(study, config, space, tmp_path, trials=6)
  last = study.trials[-1]
  assert (last.number, last.state, last.user_attrs["run"]) == (6, TrialState.PRUNED, "5")
  assert 2 <= len(last.intermediate_values) < 100 and is_free(run)
  assert "given up at accuracy" in capsys.readouterr().out


def test_a_config_is_written_as_it_is(tmp_path):
  values = {"augment.crop": (0.5, 1.0), "optim.arguments": {"b1": 0.8}, "train.epochs": 3}
  config = config_of(values)
  assert (config.augment.crop, config.train.epochs) == ((0.5, 1.0), 3.0)
  write_config(tmp_path / "c.py", config, "A title.")
  assert read_config(str(tmp_path / "c.py")).to_dict() == config.to_dict()
  assert config.is_locked and config_of().optim.arguments.to_dict() == {}


@pytest.mark.parametrize(
  ("values", "sentence"),
  [
    ("{'optim.learning_ratee': 0.1}", "did you mean optim.learning_rate"),
    ("{'optim': {}}", "unknown config key 'optim'"),
    ("{'optim.learning_rate': 'high'}", "gives optim.learning_rate 'high', but it is 0.003"),
    ("3", "must return {config key: value}; found 3"),
    ("{'seed': float('nan')}", "gives no space: ValueError: Out of range float"),
    ("1 / 0", "space.py gives no space: ZeroDivisionError in line 2"),
  ],
)
def test_a_wrong_space(tmp_path, values, sentence):
  with pytest.raises(UserError) as error:
    draw(returning(tmp_path, values), config_of())
  assert sentence in str(error.value)


def test_a_space_may_fail_now_and_then(tmp_path):
  draw(returning(tmp_path, "{'seed': 1 // max(trial.number - 3, 0)}"), config_of())


def test_a_file_that_is_no_space(tmp_path, monkeypatch):
  monkeypatch.chdir(ROOT)
  assert read_space("configs/spaces/lenet5.py")
  with pytest.raises(UserError, match="did you mean configs/spaces/lenet5.py"):
    read_space("configs/space/lenet5.py")
  with pytest.raises(UserError, match=r"has no function get_space\(trial\)"):
    read_space(space_of(tmp_path, "get_spaces = 3"))
  with pytest.raises(UserError, match="gives no space: SyntaxError"):
    read_space(space_of(tmp_path, "def get_space(trial:"))


def test_what_cannot_be_optimised():
  for split in ("", "train", "test"):
    with pytest.raises(UserError, match="neither trained on nor the test split"):
      sweep.check(config_of({"train.watch": split}))
  with pytest.raises(UserError, match="did you mean accuracy"):
    sweep.check(config_of({"checkpoint.best": "acuracy"}))


def test_a_trial_is_worth_what_its_training_ends_with():
  assert studies._worth([0.5, 0.9, 0.8], config_of()) == 0.8
  patient = config_of({"train.patience": 1})
  assert studies._worth([0.5, 0.9, float("nan"), 0.8], patient) == 0.9
  patient = config_of({"train.patience": 1, "checkpoint.mode": "min"})
  assert studies._worth([0.5, 0.9, 0.8], patient) == 0.5


def test_a_study_of_something_else(tmp_path):
  open_study(config_of(), tmp_path)
  with pytest.raises(UserError, match="is of max validation accuracy, this sweep of min valid"):
    open_study(config_of({"checkpoint.best": "loss", "checkpoint.mode": "min"}), tmp_path)
  with pytest.raises(UserError, match="cannot be opened in --storage"):
    open_study(config_of(), tmp_path, "no url")


def test_importance_tells_what_matters_from_what_does_not():
  study = optuna.create_study(direction="maximize")
  for number in range(20):
    trial = study.ask()
    trial.suggest_float("nothing", 0, 1), trial.suggest_int("count", 3, 3)
    study.tell(trial, trial.suggest_float("all", 0, 1))
    if number == 2:
      with pytest.raises(UserError, match="at least 4 finished trials, and there are 3"):
        importance(study)
  shares, best = importance(study)
  assert (max(shares, key=shares.get), best) == ("all", 5)
  assert shares["count"] == 0 and sum(shares.values()) == pytest.approx(1)


def test_importance_of_equal_trials_is_none():
  study = optuna.create_study()
  for _ in range(6):
    trial = study.ask()
    trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    study.tell(trial, 0.5)
  with pytest.raises(UserError, match="nothing sets"):
    importance(study)
