"""Runs: cut off and resumed, diverged, averaged, in bfloat16, finished, profiled."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.checkpoints.store import Store
from cnnjax.data.augment import random_shift
from cnnjax.engine.compiler import compile_once
from cnnjax.engine.config import resolve
from cnnjax.engine.fit import fit, plan
from cnnjax.engine.log import CLOCK
from cnnjax.engine.mesh import shard
from cnnjax.engine.record import read_rows
from cnnjax.engine.run import new_folder, open_folder, open_store
from cnnjax.errors import UserError
from configs.classification import lenet5_digits
from experiments.evaluate import score
from experiments.train import train

MLP, LOGISTIC = ({"model.name": name} for name in ("mlp", "logistic"))  # compiled sooner


def quick(**changes):
  """A run of 12 steps on generated images, saved every 5 and at its two evaluations."""
  config = lenet5_digits.get_config("quick")
  if "task.views" in changes:
    with config.task.unlocked():
      config.task.views = ""
  config.data.arguments = {"examples": 120}
  config.update_from_flattened_dict(
    {
      "data.batch_size": 18,
      "train.epochs": 2.0,
      "train.log_every": 4,
      "checkpoint.every": 5,
      "augment.shift": 2,
      "optim.warmup_epochs": 0.0,
      **changes,
    }
  )
  return config


def job_of(config):
  config, splits = resolve(config)
  return plan(config, splits), config, splits


def last_state(config, job, folder):
  with open_store(folder, config) as store:
    return store.restore(store.find("latest"), job.shapes, job.sharding)


def rows_without_clock(folder):
  rows = read_rows(folder / "metrics.jsonl")
  return [{k: v for k, v in row.items() if k not in CLOCK} for row in rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "whole"
  job, config, splits = job_of(quick(**{"train.ema": 0.9}))
  open_folder(folder, config)
  figures = fit(job, config, splits, folder)
  return folder, job, config, splits, figures


def test_rows_and_checkpoints(finished):
  folder, job, config, _, figures = finished
  rows = read_rows(folder / "metrics.jsonl")
  assert job.steps == 12
  told = [(row["step"], row["split"]) for row in rows]
  trained = [(s, "train") for s in (4, 8, 12)]
  scored = [(6, "validation"), (12, "validation"), (12, "test")]
  assert sorted(told) == sorted(trained + scored)
  for row in rows:
    assert np.isfinite([v for v in row.values() if not isinstance(v, str)]).all()
  assert rows[-1]["accuracy"] == figures["accuracy"]
  with open_store(folder, config) as store:
    assert store.steps()[-2:] == [10, 12]
  assert list((folder / "tensorboard").glob("events.*"))
  rates = {row["step"]: row["learning_rate"] for row in rows if row["split"] == "train"}
  assert rates == {step: float(np.float32(job.rate(step - 1))) for step in rates}
  assert len(set(rates.values())) == len(rates)


def test_a_step_is_made_of_the_configs_parts(finished):
  """Augmentation and smoothing reach the loss, with other keys at each step."""
  _, job, config, _, _ = finished
  now = compile_once(job.fresh, job.sharding)(jax.random.key(config.seed))
  for step in (0, 1):
    variables, batch = jax.tree.map(np.asarray, now.variables), job.batches(step)
    now, logs = job.step(now, shard(batch, job.mesh))
    key = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), step), 3)[0]
    moved = random_shift(key, batch["image"], config.augment.shift)
    assert not np.array_equal(moved, batch["image"])
    image = (moved / 255 - np.float32(config.data.mean)) / np.float32(config.data.std)
    logits = job.model.apply(variables, image, train=False)["logits"]
    target = 0.9 * np.eye(10)[batch["label"]] + 0.1 / 10
    want = -np.sum(target * np.asarray(jax.nn.log_softmax(logits)), axis=-1).mean()
    assert logs["loss"][0] / logs["loss"][1] == pytest.approx(want, rel=1e-5)


def cut_off(job, at):
  """Returns the plan of a training that is interrupted after step `at`."""

  def batches(step):
    if step == at:
      raise KeyboardInterrupt
    return job.batches(step)

  batches.close = job.batches.close
  return job._replace(batches=batches)


def test_a_run_cut_off_ends_with_the_same_bits(finished, tmp_path):
  whole, job, config, splits, figures = finished
  folder = tmp_path / "cut"
  open_folder(folder, config)

  with pytest.raises(KeyboardInterrupt):
    fit(cut_off(job, 8), config, splits, folder)
  assert read_rows(folder / "metrics.jsonl")[-1]["step"] == 8  # beyond the checkpoint of step 6
  assert fit(job, config, splits, folder) == figures
  ours, theirs = (last_state(config, job, f) for f in (folder, whole))
  assert jax.tree.all(jax.tree.map(np.array_equal, ours, theirs))
  assert rows_without_clock(folder) == rows_without_clock(whole)


def test_what_is_restored_scores_the_same(finished):
  folder, _, config, _, figures = finished
  run = cnnjax.restore(folder)
  assert (run.step, run.parameters) == (12, "ema")
  again = score(run, "test")
  assert {k: again[k] for k in figures} == figures
  raw = score(cnnjax.restore(folder, parameters="raw"), "test")
  assert raw["loss"] != figures["loss"]
  assert run.metrics == read_rows(folder / "metrics.jsonl")
  assert score(cnnjax.restore(folder, "best"), "validation")["accuracy"] == max(
    row["accuracy"] for row in run.metrics if row["split"] == "validation"
  )


def test_batch_size_does_not_change_a_score(finished):
  run = cnnjax.restore(finished[0])
  whole = score(run, "test")
  with run.config.unlocked():
    run.config.data.batch_size = 7  # the last batch of 120 is padded by 6
  parts = score(run, "test")
  assert parts["confusion"] == whole["confusion"]
  assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-6)


def test_predictions_from_python(finished):
  run, images = cnnjax.restore(finished[0]), finished[3]["test"].columns["image"][:5]
  answers = run.predict(images)
  assert [a["class"] for a in answers] == [run.config.data.classes[a["label"]] for a in answers]
  for answer in answers:
    assert answer["probability"] == max(answer["probabilities"])
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
  one_by_one = [run.predict([image])[0] for image in images]
  for a, b in zip(answers, one_by_one):
    np.testing.assert_allclose(a["probabilities"], b["probabilities"], atol=1e-5)
  floats = run.predict([image[..., 0] / 255.0 for image in images])
  assert [a["label"] for a in floats] == [a["label"] for a in answers]
  assert run.predict([]) == []
  direct = cnnjax.predict(run.model, run.variables, images)
  assert "class" not in direct[0] and direct[0]["label"] == answers[0]["label"]
  colour = run.predict([np.repeat(np.kron(images[0], np.ones((2, 3, 1), np.uint8)), 3, axis=2)])
  assert len(colour[0]["probabilities"]) == 10


def test_a_finished_run_says_so(finished, capsys):
  folder, _, config, _, figures = finished
  _, again = train(quick(**{"train.ema": 0.9}), folder)
  assert "finished" in capsys.readouterr().out
  assert again["accuracy"] == figures["accuracy"]


def test_no_run_is_finished_before_its_last_checkpoint_is(finished, tmp_path, monkeypatch):
  _, job, config, splits, _ = finished
  open_folder(tmp_path, config)

  def cut(store):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(Store, "wait", cut)
    fit(job, config, splits, tmp_path)
  assert "test" not in {row["split"] for row in read_rows(tmp_path / "metrics.jsonl")}


def test_a_folder_for_each_run_and_a_note_for_each_process(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  first, _ = train(quick(**LOGISTIC), name="lenet")
  with ThreadPoolExecutor(8) as pool:
    others = list(pool.map(new_folder, ["lenet"] * 8))
  assert first == Path("runs/lenet/1") and len({first, *others}) == 9
  train(quick(**LOGISTIC), first)  # finished: it trains nothing, and notes nothing
  (note,) = json.loads((first / "environment.json").read_text())
  assert note["jax"] == jax.__version__


def test_another_config_is_refused(finished):
  folder = finished[0]
  before = (folder / "config.json").read_text()
  with pytest.raises(UserError, match=r"holds another run \(optim.learning_rate: 0.003 then, 0.1"):
    train(quick(**{"train.ema": 0.9, "optim.learning_rate": 0.1}), folder)
  assert (folder / "config.json").read_text() == before


def test_many_steps_a_dispatch_are_the_same_steps(finished, tmp_path):
  """Rows, evaluations and checkpoints stay where they are due, and a run cut off goes on."""
  whole, *_ = finished
  job, config, splits = job_of(quick(**{"train.ema": 0.9, "train.steps_per_dispatch": 3}))
  asked = []

  def counting(state, at, most):
    state, logs, count = job.many(state, at, most)
    asked.append((at, count))
    if len(asked) == 4:
      raise KeyboardInterrupt
    return state, logs, count

  folder = tmp_path / "many"
  open_folder(folder, config)
  with pytest.raises(KeyboardInterrupt):
    fit(job._replace(many=counting), config, splits, folder)
  fit(job._replace(many=counting), config, splits, folder)
  cut_off, went_on = asked[:4], asked[4:]
  assert cut_off == [(0, 3), (3, 1), (4, 1), (5, 1)]  # due: row 4, save 5, score 6
  assert went_on == [(5, 1), (6, 2), (8, 2), (10, 2)]
  for ours, theirs in zip(rows_without_clock(folder), rows_without_clock(whole), strict=True):
    assert ours.keys() == theirs.keys() and ours.pop("split") == theirs.pop("split")
    assert ours == pytest.approx(theirs, rel=1e-4)
  ours, theirs = (last_state(config, job, f).variables for f in (folder, whole))
  jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), ours, theirs)


def test_a_run_in_many_step_dispatches_resumes_with_the_same_bits(tmp_path):
  config = quick(**MLP, **{"train.steps_per_dispatch": 4, "augment.shift": 0})
  job, config, splits = job_of(config)

  def broken(state, at, most):
    if at >= 8:
      raise KeyboardInterrupt
    return job.many(state, at, most)

  for name in ("whole", "cut"):
    open_folder(tmp_path / name, config)
  with pytest.raises(KeyboardInterrupt):
    fit(job._replace(many=broken), config, splits, tmp_path / "cut")
  for name in ("whole", "cut"):
    fit(job, config, splits, tmp_path / name)
  ours, theirs = (last_state(config, job, tmp_path / name) for name in ("whole", "cut"))
  assert jax.tree.all(jax.tree.map(np.array_equal, ours, theirs))
  assert rows_without_clock(tmp_path / "whole") == rows_without_clock(tmp_path / "cut")


TURNED = {
  **MLP,
  "augment.flip": False,
  "train.ema": 0.9,
  "train.lookahead": 4,
  "optim.schedule": "linear",
  "optim.warmup_epochs": 0.5,
  "optim.warmup_start": 0.2,
  "optim.rates": (("trunk/fc1/bias", 2.0, 1.5),),
}


def turned(**changes):
  config = quick(**{**TURNED, **changes})
  with config.augment.unlocked():
    config.augment.alternate_flip = True
  return config


def test_alternate_flips_and_lookahead_resume_with_the_same_bits(tmp_path):
  job, config, splits = job_of(turned())

  for name in ("whole", "cut"):
    open_folder(tmp_path / name, config)
  with pytest.raises(KeyboardInterrupt):
    # the slow weights have moved twice, and once since the checkpoint of step 6
    fit(cut_off(job, 8), config, splits, tmp_path / "cut")
  for name in ("whole", "cut"):
    fit(job, config, splits, tmp_path / name)
  ours, theirs = (last_state(config, job, tmp_path / name) for name in ("whole", "cut"))
  assert jax.tree.all(jax.tree.map(np.array_equal, ours, theirs))
  assert rows_without_clock(tmp_path / "whole") == rows_without_clock(tmp_path / "cut")
  many, config, splits = job_of(turned(**{"train.steps_per_dispatch": 3}))
  open_folder(tmp_path / "many", config)
  fit(many, config, splits, tmp_path / "many")
  theirs = last_state(config, many, tmp_path / "many").variables
  jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), ours.variables, theirs)


def test_divergence_names_the_step_and_keeps_the_last_good(tmp_path):
  job, config, splits = job_of(quick(**LOGISTIC))
  open_folder(tmp_path, config)

  batches = job.batches

  def poisoned(step):
    batch = batches(step)
    bad = np.float32(np.nan) if step == 6 else np.float32(1)
    return {**batch, "mask": batch["mask"] * bad}

  poisoned.close = batches.close
  job = job._replace(batches=poisoned)

  with pytest.raises(UserError, match="nan at step 7; .* last good checkpoint is step 6"):
    fit(job, config, splits, tmp_path)
  state = last_state(config, job, tmp_path)
  assert state.step == 6
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.variables))


def test_bfloat16_and_profile(tmp_path):
  config = quick(
    **MLP, **{"model.dtype": "bfloat16", "data.batch_size": 6, "mesh.deterministic": True}
  )
  _, figures = train(config, tmp_path, profile=True)
  assert np.isfinite(figures["loss"])
  variables = cnnjax.restore(tmp_path).variables
  assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
  traces = list((tmp_path / "profile").rglob("*.trace.json.gz"))
  assert traces and list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_a_trace_of_a_run_that_ends_in_it(tmp_path, capsys):
  train(quick(**LOGISTIC), tmp_path / "twelve", profile=True)
  assert list((tmp_path / "twelve" / "profile").rglob("*.xplane.pb"))
  assert "wrote a trace of steps 10 to 12" in capsys.readouterr().out
  train(quick(**LOGISTIC, **{"train.epochs": 1.0}), tmp_path / "six", profile=True)
  assert "wrote no trace" in capsys.readouterr().out


@pytest.mark.parametrize(
  ("changes", "sentence"),
  [
    ({"model.name": "lenet6"}, "did you mean lenet5"),
    ({"model.num_classes": 3}, "the data have 10 classes"),
    ({"model.arguments": {"depth": 3}}, "model lenet5: .*depth"),
    ({"data.name": "digit"}, "did you mean digits"),
    ({"data.arguments": {"exampels": 3}}, "data.arguments of fake: .*exampels"),
    ({"data.batch_size": 200}, "fewer than one batch of 200"),
    ({"data.batch_size": 0}, "data.batch_size must be a .* number of at least 1"),
    ({"data.resize": (16, 16)}, "at least 32x32, found 16x16"),
    ({"data.resize": (32,)}, "data.resize 32 is the length of the shorter side; set data.crop"),
    ({"data.resize": (32, 32, 3)}, "data.resize must be"),
    ({"data.folds": 1}, "data.folds must be 0 for none or at least 2, .* found fold 0 of 1"),
    ({"data.folds": 5, "data.fold": 5}, "data.folds must be .* found fold 5 of 5"),
    ({"data.fold": 2}, "data.folds must be .* found fold 2 of 0"),
    ({"optim.weight_decay": -1.0}, "optim.weight_decay must be a .* number of at least 0"),
    ({"data.validation": 1.5}, "data.validation must be .* below 1"),
    ({"data.validation": 0.0}, "unknown train.watch 'validation'.*data.validation is 0"),
    ({"data.mean": (0.1,)}, "data.std must be one number"),
    ({"data.mean": (0.1, 0.2), "data.std": (1.0,)}, "data.mean must be one number"),
    ({"data.mean": (0.1,), "data.std": (0.0,)}, "data.std must be above 0"),
    ({"augment.shift": -1}, "augment.shift must be a whole number of at least 0"),
    ({"train.epochs": math.inf}, "train.epochs must be a finite number .* found inf"),
    ({"train.epochs": 0.0}, "makes no step"),
    ({"train.lookahead": 5}, "train.lookahead 5 needs train.ema"),
    ({"init.from_images": 50}, "lenet5 has no layer that is made from images"),
    ({"init.from_images": 50, "init.source": "a"}, "both say what to begin with"),
    ({"optim.warmup_start": 1.0}, "optim.warmup_start must be .* below 1"),
    ({"task.views": "mirored"}, "did you mean mirrored"),
    ({"train.ema": 2.0}, "train.ema must be .* below 1"),
    ({"task.label_smoothing": 1.0}, "task.label_smoothing must be .* below 1"),
    ({"seed": -1}, "seed must be a .* number of at least 0"),
    ({"model.dtype": "int32"}, "unknown dtype 'int32'"),
    ({"model.dtype": "float64"}, "JAX_ENABLE_X64"),
    ({"optim.name": "lbfgs"}, "optim.name lbfgs .* cannot train"),
    ({"train.watch": "validaton"}, "did you mean validation"),
    ({"train.accumulate": 5}, "train.accumulate 5 cannot cut data.batch_size 18"),
    ({"checkpoint.best": "acuracy"}, "did you mean accuracy"),
    ({"checkpoint.mode": "most"}, "checkpoint.mode"),
    ({"mesh.devices": 4096}, "mesh.devices is 4096"),
    ({"task.name": "clasification"}, "did you mean classification"),
  ],
)
def test_refused_before_anything_is_written(tmp_path, changes, sentence):
  with pytest.raises(UserError, match=sentence):
    train(quick(**changes), tmp_path / "run")
  assert not (tmp_path / "run").exists()
