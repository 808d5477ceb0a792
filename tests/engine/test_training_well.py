"""Regularisation, early stopping and transfer, as a config asks for them."""

import shutil
from functools import partial

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.checkpoints.store import Store
from cnnjax.engine.fit import _in_vain
from cnnjax.engine.record import read_rows
from cnnjax.errors import UserError
from experiments.evaluate import score
from experiments.train import train
from tests.engine.test_fit import quick

RESNET = {
  "model.name": "resnet20_cifar",
  "model.arguments": {"n": 1},
  "data.batch_size": 16,
  "data.arguments": {"examples": 120},
  "data.resize": (8, 8),
  "train.epochs": 0.5,
  "augment.shift": 0,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "source"
  train(quick(**RESNET), folder)
  return folder


def test_l1_makes_exact_zeros_that_the_run_reports(tmp_path):
  rows = (("l1", 3.0, "fc2/kernel"), ("l2", 1e-3, "kernel"))
  changes = {"optim.penalties": rows, "optim.decoupled": True, "optim.learning_rate": 0.01}
  changes["model.name"] = "mlp"
  folder, figures = train(quick(**changes), tmp_path / "run")
  params = cnnjax.restore(folder).variables["params"]
  assert np.mean(params["trunk"]["fc2"]["kernel"] == 0) > 0.5
  assert np.all(params["trunk"]["fc1"]["kernel"] != 0)
  kernels = [w for w in jax.tree.leaves(params) if w.ndim > 1]
  share = sum(np.sum(w == 0) for w in map(np.asarray, kernels)) / sum(w.size for w in kernels)
  assert figures["zero_weights"] == pytest.approx(share, rel=1e-5)
  assert score(cnnjax.restore(folder), "test")["zero_weights"] == figures["zero_weights"]


def test_a_penalty_in_the_loss_is_logged_and_shrinks(tmp_path):
  small, rows = {"model.name": "logistic"}, (("l2", 1.0, "head/"),)
  plain, _ = train(quick(**small), tmp_path / "plain")
  folder, _ = train(quick(**small, **{"optim.penalties": rows}), tmp_path / "run")
  first = next(row for row in read_rows(folder / "metrics.jsonl") if row["split"] == "train")
  assert first["penalty"] > 0

  def size(folder):
    head = cnnjax.restore(folder).variables["params"]["head"]
    return sum(float(np.sum(w**2)) for w in jax.tree.leaves(head))

  assert size(folder) < size(plain)


@pytest.mark.parametrize("cut", [None, 4, 6])
def test_patience_ends_a_run_with_its_best_and_so_does_one_cut_off(tmp_path, cut, monkeypatch):
  """With a rate of next to nothing no evaluation is better than the first."""
  changes = {"train.patience": 2, "train.epochs": 20.0, "train.evaluate_every": 0.35}
  config = quick(
    **{"model.name": "logistic"}, **changes, **{"optim.learning_rate": 1e-30, "checkpoint.every": 0}
  )
  folder = tmp_path / "run"
  if cut:
    save = Store.save

    def broken(store, step, *rest):
      save(store, step, *rest)
      if step == cut:
        store.wait()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
      patch.setattr(Store, "save", broken)
      train(config, folder)
  _, figures = train(config, folder)
  rows = read_rows(folder / "metrics.jsonl")
  assert [row["step"] for row in rows if row["split"] == "validation"] == [2, 4, 6]
  assert (rows[-1]["split"], rows[-1]["step"]) == ("test", 6)
  best = score(cnnjax.restore(folder, "best"), "test")
  assert figures["accuracy"] == best["accuracy"]
  _, again = train(config, folder)  # finished
  assert again["accuracy"] == figures["accuracy"]


def test_patience_counts_from_the_first_of_the_best():
  config = quick(**{"train.patience": 2})
  assert not _in_vain([], config) and not _in_vain([0.5, 0.4], config)
  assert _in_vain([0.5, 0.5, 0.4], config) and not _in_vain([0.5, 0.4, 0.6], config)
  assert _in_vain([0.5, float("nan"), float("nan")], config)
  config.checkpoint.mode = "min"
  assert not _in_vain([0.5, 0.4, 0.45], config) and _in_vain([0.4, 0.5, 0.45], config)
  config.train.patience = 0
  assert not _in_vain([0.4, 0.5, 0.6], config)


def test_a_frozen_trunk_is_the_sources_and_only_the_head_learns(source, tmp_path, capsys):
  changes = {
    "init.source": str(source),
    "init.trunk_only": True,
    "init.frozen_statistics": True,
    "optim.rates": (("trunk/", 0.0),),
    "optim.weight_decay": 0.1,
    "train.ema": 0.9,
    "data.arguments": {"examples": 120, "classes": 3},
    "seed": 1,
  }
  folder, _ = train(quick(**{**RESNET, **changes}), tmp_path / "run")
  assert f"starts   the trunk of {source}" in capsys.readouterr().out
  old, new = (cnnjax.restore(f, parameters="raw").variables for f in (source, folder))
  for part in ("params", "batch_stats"):
    jax.tree.map(np.testing.assert_array_equal, old[part]["trunk"], new[part]["trunk"])
  average = cnnjax.restore(folder).variables["params"]["trunk"]
  close = partial(np.testing.assert_allclose, rtol=1e-6)
  jax.tree.map(close, average, old["params"]["trunk"])
  assert {w.shape[-1] for w in jax.tree.leaves(new["params"]["head"])} == {3}


def test_statistics_move_where_they_are_not_frozen_and_a_source_may_go(source, tmp_path):
  """Once a checkpoint is there, the source is not asked for again."""
  copy = tmp_path / "source"
  shutil.copytree(source, copy)
  changes = {"init.source": str(copy), "optim.rates": (("trunk/", 0.0),), "train.epochs": 0.6}
  config = quick(**{**RESNET, **changes, "checkpoint.every": 2})
  folder, _ = train(config, tmp_path / "run")
  old, new = (cnnjax.restore(f).variables for f in (source, folder))
  jax.tree.map(np.testing.assert_array_equal, old["params"]["trunk"], new["params"]["trunk"])
  moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), old["batch_stats"], new["batch_stats"])
  assert all(jax.tree.leaves(moved))
  shutil.rmtree(copy)
  _, figures = train(config, folder)
  assert "accuracy" in figures


@pytest.mark.parametrize(
  ("changes", "sentence"),
  [
    ({"optim.penalties": (("l1", 0.1, "kernle"),)}, "no parameter's path holds 'kernle'"),
    ({"optim.rates": (("tail", 0.1),)}, "no parameter's path holds 'tail'"),
    ({"train.patience": 2, "train.watch": ""}, "train.patience 2 needs train.watch"),
    ({"init.source": "nowhere.safetensors"}, "nowhere.safetensors"),
    ({"model.name": "logistic", "init.source": "SOURCE", "init.trunk_only": True}, "has no trunk"),
    ({"init.source": "SOURCE"}, "holds a run of resnet20_cifar, not of lenet5"),
  ],
)
def test_refused_before_anything_is_written(source, tmp_path, changes, sentence):
  changes = {k: str(source) if v == "SOURCE" else v for k, v in changes.items()}
  with pytest.raises(UserError, match=sentence):
    train(quick(**changes), tmp_path / "run")
  assert not (tmp_path / "run").exists()
