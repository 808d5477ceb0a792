"""A run that meets its data again: classes by name, data that moved, a split that is kept."""

import csv

import numpy as np
import pytest

import cnnjax
import experiments.train
from cnnjax.engine.fit import plan
from cnnjax.errors import UserError
from experiments.evaluate import score
from experiments.train import train
from tests.engine.test_fit import LOGISTIC, cut_off, quick

NAMES = ("ant", "bee", "cat")


def write(path, names, called=None, count=60):
  """Writes images of a bright row for each class; a label is the place of its name in `names`."""
  rng = np.random.default_rng(0)
  of = np.arange(count) % 3
  image = rng.integers(0, 60, (count, 8, 8), np.uint8)
  image[np.arange(count), 2 * of] += 190
  label = np.asarray([names.index(NAMES[c]) for c in of])
  np.savez(path, image=image, label=label, classes=np.asarray(called or names))
  return path


def config_of(path, **changes):
  more = {"data.name": "npz", "data.root": str(path), "train.epochs": 8.0, "data.batch_size": 12}
  config = quick(**LOGISTIC, **more, **changes)
  with config.unlocked():
    config.data.arguments = {}
  return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp("anew")
  write(folder / "data.npz", NAMES)
  run, figures = train(config_of(folder / "data.npz"), folder / "run")
  assert figures["accuracy"] == 1
  return run, figures


def test_classes_are_matched_by_name(trained, tmp_path):
  run, figures = cnnjax.restore(trained[0]), trained[1]
  again = score(run, "test", write(tmp_path / "turned.npz", ("cat", "ant", "bee")))
  assert {key: again[key] for key in figures} == figures
  other = write(tmp_path / "other.npz", NAMES, ("ant", "bee", "dog"))
  with pytest.raises(UserError, match="knows the 3 classes ant, bee, cat; .* has 3: ant, bee, dog"):
    score(run, "test", other)


def test_a_run_goes_on_with_data_that_moved(trained, tmp_path, capsys, monkeypatch):
  root, folder = write(tmp_path / "data.npz", NAMES), tmp_path / "run"
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(experiments.train, "plan", lambda *parts: cut_off(plan(*parts), 21))
    train(config_of(root), folder)
  root.unlink()
  moved = write(tmp_path / "moved.npz", ("cat", "ant", "bee"))
  with pytest.raises(UserError, match="data.npz"):
    train(config_of(root), folder)
  with pytest.raises(UserError, match="holds another run .data.root: .* or --data_root where"):
    train(config_of(moved), folder)
  _, figures = train(config_of(root), folder, data_root=moved)
  assert "goes on from step" in capsys.readouterr().out
  assert figures == trained[1]
  with pytest.raises(UserError, match="--data_root is for a run that goes on"):
    train(config_of(root), tmp_path / "new", data_root=moved)


def test_names_in_a_config_are_an_order_or_new_names(trained, tmp_path, capsys):
  root = write(tmp_path / "data.npz", NAMES)
  folder, figures = train(
    config_of(root, **{"data.classes": ("cat", "bee", "ant")}), tmp_path / "a"
  )
  run = cnnjax.restore(folder)
  image = np.load(root)["image"][:3]
  assert [a["class"] for a in run.predict(list(image))] == list(NAMES)
  folder, _ = train(
    config_of(root, **{"data.classes": ("fourmi", "abeille", "chat")}), tmp_path / "b"
  )
  run = cnnjax.restore(folder)
  assert [a["class"] for a in run.predict(list(image))] == ["fourmi", "abeille", "chat"]
  turned = write(tmp_path / "turned.npz", ("bee", "cat", "ant"))
  assert score(run, "test", turned)["accuracy"] == 1


def test_a_split_is_kept_and_a_change_of_it_is_told(trained, tmp_path, capsys):
  folder, _ = trained
  with (folder / "split.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  kept = {
    s: [r["example"] for r in rows if r["split"] == s] for s in ("train", "validation", "test")
  }
  assert sorted(sum(kept.values(), [])) == sorted(f"image[{n}]" for n in range(60))
  assert len(kept["test"]) == 12
  run = cnnjax.restore(folder)
  score(run, "test")
  assert capsys.readouterr().err == ""
  score(run, "test", write(tmp_path / "more.npz", NAMES, count=90))
  assert "split.csv 0 are gone; 30 others are new, and in no split" in capsys.readouterr().err
  figures = score(run, "test", write(tmp_path / "fewer.npz", NAMES, count=50))
  gone = [name for names in kept.values() for name in names if int(name[6:-1]) >= 50]
  assert f"split.csv {len(gone)} are gone; 0 others are new" in capsys.readouterr().err
  assert figures["examples"] == len(set(kept["test"]) - set(gone))
