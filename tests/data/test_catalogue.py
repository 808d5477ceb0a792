"""Sources by name, and splits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cnnjax.data import catalogue
from cnnjax.errors import UserError
from cnnjax.keys import defaults


def load(name="digits", seed=0, validation=0.0, fold=0, folds=0, fraction=1.0, **arguments):
  data = defaults().data
  with data.unlocked():
    data.update(name=name, validation=validation, folds=folds, fold=fold, fraction=fraction)
    data.arguments = arguments
  return catalogue.load(data, seed)


def rows(table):
  """Returns each example as something that can be sorted and compared."""
  columns = table.columns
  return [(i.tobytes(), int(n)) for i, n in zip(columns["image"], columns["label"])]


def test_digits_are_split_80_to_20():
  splits = load()
  assert {name: len(table) for name, table in splits.items()} == {"train": 1437, "test": 360}
  image, label = splits["train"].columns["image"], splits["train"].columns["label"]
  assert image.shape == (1437, 8, 8, 1) and image.dtype == np.uint8
  assert (image.min(), image.max()) == (0, 255) and label.dtype == np.int32
  assert splits["train"].classes == splits["test"].classes == tuple("0123456789")


def test_digits_of_both_splits_are_all_of_them_once():
  data, splits = load_digits(), load()
  pixels = np.round(data.images * 255 / 16).astype(np.uint8)
  everything = [(i.tobytes(), int(n)) for i, n in zip(pixels, data.target)]
  assert sorted(rows(splits["train"]) + rows(splits["test"])) == sorted(everything)


def test_digits_are_stratified():
  splits = load()
  train, test = (np.bincount(splits[s].columns["label"]) for s in ("train", "test"))
  assert (np.abs(test - 0.2 * (train + test)) <= 1).all()


def test_digits_depend_on_the_seed_alone():
  assert rows(load(seed=3)["train"]) == rows(load(seed=3)["train"])
  assert sorted(rows(load(seed=3)["test"])) != sorted(rows(load(seed=4)["test"]))


def test_validation_is_held_out_of_the_training_split():
  whole, splits = load(), load(validation=0.1)
  assert sorted(rows(splits["test"])) == sorted(rows(whole["test"]))
  assert len(splits["validation"]) == 144
  assert sorted(rows(splits["train"]) + rows(splits["validation"])) == sorted(rows(whole["train"]))


def test_a_fraction_of_each_class_is_kept_and_the_test_is_as_before():
  whole, splits = load(), load(fraction=0.25)
  assert sorted(rows(splits["test"])) == sorted(rows(whole["test"]))
  assert set(rows(splits["train"])) <= set(rows(whole["train"]))
  counts, all = (np.bincount(s["train"].columns["label"]) for s in (splits, whole))
  assert (np.abs(counts - all / 4) <= 1).all()
  assert rows(splits["train"]) == rows(load(fraction=0.25)["train"])


def test_the_test_folds_are_all_examples_once_and_validation_is_held_out_of_the_rest():
  whole = load()
  everything = sorted(rows(whole["train"]) + rows(whole["test"]))
  folds = [load(fold=k, folds=5, validation=0.1) for k in range(5)]
  assert sorted(row for splits in folds for row in rows(splits["test"])) == everything
  for splits in folds:
    assert sorted(row for table in splits.values() for row in rows(table)) == everything
    assert len(splits["test"]) in (359, 360) and len(splits["validation"]) == 144


@pytest.mark.parametrize("label", ["flags", "numbers"])
def test_generated_targets(label):
  one, again = (load("fake", examples=30, classes=3, size=8, label=label) for _ in range(2))
  target = one["train"].columns["target"]
  assert target.shape == (30, 3) and target.dtype == np.float32 and len(one["train"].classes) == 3
  assert (np.isin(target, (0, 1)).all() and 0 < target.mean() < 1) == (label == "flags")
  np.testing.assert_array_equal(one["train"].columns["image"], again["train"].columns["image"])
  assert (one["test"].columns["target"] != target).any()
  parts = load("fake", examples=30, label=label, validation=0.2)
  assert len(parts["validation"]) == 6  # nothing to stratify by
  assert len(load("fake", examples=30, label=label, folds=4, fold=1)["test"]) == 15
  with pytest.raises(UserError, match="unknown data.arguments.label 'flag'; did you mean flags"):
    load("fake", label="flag")


def test_unknown_source():
  with pytest.raises(UserError, match="unknown data.name 'digit'; did you mean digits"):
    load("digit")


def test_unknown_argument():
  with pytest.raises(UserError, match="data.arguments of fake: 'sizes'; did you mean size?"):
    load("fake", sizes=3)
  with pytest.raises(UserError, match="of voc: 'anotations'; did you mean annotations"):
    load("voc", anotations="annots")
  with pytest.raises(UserError, match="data.arguments of voc: 'to'"):  # the run gives it
    load("voc", to=3)


def test_an_empty_split():
  with pytest.raises(UserError, match="the train split of fake .*holds no example"):
    load("fake", examples=0)


def test_generated_examples_are_reproducible_and_differ_by_split_and_seed():
  one, again = (load("fake", examples=20, classes=4, size=8)["train"] for _ in range(2))
  assert rows(one) == rows(again) and len(one.classes) == 4
  assert one.columns["image"].shape == (20, 8, 8, 1)
  assert np.bincount(one.columns["label"]).tolist() == [5] * 4
  assert rows(one) != rows(load("fake", examples=20, classes=4, size=8)["test"])
  assert rows(one) != rows(load("fake", 1, examples=20, classes=4, size=8)["train"])
