"""The kinds of input: each keeps the contract, and series go the whole way."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.data import arrays, correlated_regions, fake, inputs
from cnnjax.data.inputs import series
from cnnjax.data.table import Table
from cnnjax.engine.config import resolve
from cnnjax.errors import UserError
from cnnjax.keys import defaults
from cnnjax.ops.series import SeriesPreprocessing
from cnnjax.ops.volume_series import VolumeSeriesPreprocessing
from experiments.evaluate import score
from experiments.launch import read_config
from experiments.train import train
from tests.engine.test_fit import cut_off, rows_without_clock
from tests.experiments.test_scripts import command

FIELDS = (
  *("COLUMNS", "SUFFIXES", "preprocessing", "complete", "prepare", "empty", "check", "augment"),
  *("scale", "read", "load", "fit", "invert", "picture"),
)


def series_of_volumes(root, seed, *, input, examples):
  del input
  return correlated_regions.load(root, seed, to=VolumeSeriesPreprocessing(4), examples=examples)


def volumes(root, seed, *, input, examples):
  del root, input
  values = np.random.default_rng(seed).normal(9, 2, (examples, 8, 16, 8, 1)).astype(np.float32)
  size = np.tile(values.shape[1:4], (examples, 1))
  return {"train": Table({"volume": values, "spacing": np.ones((examples, 3)), "size": size})}


def prompted(root, seed, *, input, examples):
  table = fake.load(root, seed, examples=examples)["train"]
  box = np.tile(np.float32([3, 4, 20, 25]), (examples, 1))
  return {"train": table.replace(box=box)}


GENERATED = {  # what fake has not
  "prompted": prompted,
  "volume": volumes,
  "volume_series": series_of_volumes,
}


@pytest.mark.parametrize("name", inputs.INPUTS)
def test_a_kind_keeps_the_contract(name):
  """From a generated table to what the network reads, and to what a person sees."""
  kind = inputs.kind(name)
  assert all(hasattr(kind, field) for field in FIELDS)
  data = defaults(input=name).data
  table = GENERATED.get(name, fake.load)("", 0, input=name, examples=20)["train"]
  assert inputs.of_columns(table.columns) == name
  with data.unlocked():
    data.update(kind.complete(data, table))
  to = kind.preprocessing(data)
  assert to.input == name and hash(to) is not None
  ready = kind.prepare(table, to)
  batch = {key: jnp.asarray(column) for key, column in ready.columns.items()}
  seen, empty = kind.read(kind.scale(batch, to)), inputs.empty(to)
  assert jax.tree.map(lambda a: a.shape[1:], seen) == jax.tree.map(lambda a: a.shape[1:], empty)
  column = kind.COLUMNS[0]
  seen = seen[column] if isinstance(seen, dict) else seen
  assert seen.shape[1:] == to.shape
  axes = tuple(range(seen.ndim - 1))
  np.testing.assert_allclose(seen.mean(axes), 0, atol=1e-3)
  np.testing.assert_allclose(seen.std(axes), 1, atol=1e-3)
  assert jax.tree.all(jax.tree.map(np.array_equal, kind.augment(jax.random.key(0), batch), batch))
  example = table.columns[column][0]
  np.testing.assert_array_equal(kind.fit([example], to)[column][0], ready.columns[column][0])
  shown = kind.picture(example.squeeze(-1) if column == "image" else example, 64)
  assert shown.dtype == np.uint8 and max(shown.shape) <= 64 and np.ptp(shown) > 0


def test_series_are_cut_or_filled():
  to = SeriesPreprocessing(length=3)
  ready = series.fit([np.arange(1, 6), np.asarray([[7.0], [8.0]])], to)["series"]
  np.testing.assert_array_equal(ready[..., 0], [[1, 2, 3], [7, 8, 0]])
  table = series.prepare(Table({"series": ready}), SeriesPreprocessing(length=2))
  np.testing.assert_array_equal(table.columns["series"][..., 0], [[1, 2], [7, 8]])


@pytest.mark.parametrize(
  "given, sentence",
  [
    ([np.zeros((4, 3))], "series 0 has 3 channels, but the network was made for 1"),
    ([np.zeros((4, 3, 2))], r"series 0 is float64 \(4, 3, 2\); expected a series of numbers"),
    ([np.asarray([1.0, np.nan])], "series 0 holds a number that is not finite"),
    ([np.asarray(["a"])], "series 0 is <U1"),
    ([np.zeros(4), np.zeros(3)], r"series of different lengths \[3, 4\] need a length"),
  ],
)
def test_what_is_no_series_is_a_user_error(given, sentence):
  with pytest.raises(UserError, match=sentence):
    series.fit(given, SeriesPreprocessing())


def test_series_of_a_file(tmp_path):
  one, some, to = np.arange(4.0), np.arange(8.0).reshape(2, 4), SeriesPreprocessing()
  np.save(tmp_path / "one.npy", one)
  np.savez(tmp_path / "some.npz", x_test=some, y_test=[0, 1])
  assert list(series.load(tmp_path / "one.npy", to)) == [f"{tmp_path}/one.npy"]
  found = series.load(tmp_path / "some.npz", to)
  assert list(found) == [f"{tmp_path}/some.npz:x_test[{n}]" for n in range(2)]
  np.testing.assert_array_equal(found[f"{tmp_path}/some.npz:x_test[1]"][:, 0], some[1])
  two = series.load(tmp_path / "some.npz", SeriesPreprocessing(channels=4))  # [L, C], one series
  assert [array.shape for array in two.values()] == [(2, 4)]
  (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
  with pytest.raises(UserError, match="broken.npy cannot be read as a NumPy array"):
    series.load(tmp_path / "broken.npy", to)


def test_wrong_arrays_of_series_are_user_errors(tmp_path):
  good = dict(y_train=[0, 1])
  for x, sentence in (
    (np.zeros(2), r"x_train of .* is float64 \(2,\); expected numbers, \[N, L\] or \[N, L, C\]"),
    (np.asarray([[1, np.inf]] * 2), "x_train of .* holds a number that is not finite"),
    (np.asarray([["a"], ["b"]]), "x_train of .* is <U1"),
  ):
    np.savez(tmp_path / "set.npz", x_train=x, **good)
    with pytest.raises(UserError, match=sentence):
      arrays.load(str(tmp_path / "set.npz"), 0, input="series")


def test_data_of_another_kind_than_the_config_are_refused():
  config = read_config("lenet5_digits:quick").unlock()
  config.data.update(name="digits", input="series")
  with pytest.raises(
    UserError, match="is a key of image and clip and prompted alone, but the config is of class"
  ):
    resolve(config)
  config = read_config("series_cnn_npz:quick").unlock()
  config.data.name, config.data.arguments = "digits", {}
  with pytest.raises(UserError, match="data.input is series, but digits holds image"):
    resolve(config)
  config.data.input = "smell"
  with pytest.raises(UserError, match="unknown data.input 'smell'; known: clip, image, prompted"):
    resolve(config)


def test_a_small_network_learns_series_of_a_file(tmp_path):
  """Train, resume, evaluate, restore and predict, none of which knows that these are no images."""
  splits = fake.load("", 0, input="series", examples=160, classes=3, size=24, channels=2)
  saved = {f"x_{split}": table.columns["series"] for split, table in splits.items()}
  saved |= {f"y_{split}": table.columns["label"] for split, table in splits.items()}
  np.savez(tmp_path / "set.npz", **saved, classes=["slow", "medium", "fast"])
  config = read_config("series_cnn_npz").unlock()
  config.data.update(root=str(tmp_path / "set.npz"), batch_size=16)
  config.model.arguments.blocks = ((8, 8), (8, 5))
  config.train.update(epochs=12.0, evaluate_every=4.0, log_every=20)
  config.checkpoint.every = 30
  config.optim.learning_rate = 0.01
  folder, figures = train(config, tmp_path / "whole")
  assert figures["accuracy"] > 0.9
  facts = json.loads((folder / "config.json").read_text())["data"]
  assert (facts["length"], facts["channels"], len(facts["mean"])) == (24, 2, 2)

  from experiments import train as script

  kept, script.plan = script.plan, lambda *given: cut_off(kept(*given), 40)
  try:
    with pytest.raises(KeyboardInterrupt):
      train(config, tmp_path / "cut")
  finally:
    script.plan = kept
  assert train(config, tmp_path / "cut")[1] == figures
  assert rows_without_clock(tmp_path / "cut") == rows_without_clock(folder)

  run = cnnjax.restore(folder)
  assert score(run, "test")["accuracy"] == figures["accuracy"]
  label = saved["y_test"]
  answers = run.predict(saved["x_test"])
  right = [answer["label"] == int(want) for answer, want in zip(answers, label)]
  assert np.mean(right) == pytest.approx(figures["accuracy"])
  assert {answer["class"] for answer in answers} == {"slow", "medium", "fast"}
  np.save(tmp_path / "one.npy", saved["x_test"][0, :20])  # shorter: filled up
  done = command("predict", f"--workdir={folder}", tmp_path / "one.npy", tmp_path / "set.npz")
  assert done.returncode == 0, done.stderr
  told = json.loads((folder / "predictions.json").read_text())
  assert [one["label"] for one in told[1:]][160:] == [answer["label"] for answer in answers]
  assert (folder / "predictions.png").exists()
  done = command("predict", f"--workdir={folder}", "--invert", tmp_path / "one.npy")
  assert (done.returncode, done.stderr) == (
    2,
    "error: --invert is for images, but the run is of series\n",
  )
