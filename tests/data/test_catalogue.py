"""Sources by name, and splits."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cnnjax.data import catalogue
from cnnjax.data.table import Table
from cnnjax.errors import UserError


def load(name="digits", seed=0, root="", validation=0.0, **arguments):
  data = SimpleNamespace(name=name, root=root, arguments=arguments, validation=validation)
  return catalogue.load(data, seed)


def rows(table):
  """Returns each example as something that can be sorted and compared."""
  columns = table.columns
  return [(i.tobytes(), int(n)) for i, n in zip(columns["image"], columns["label"])]


def numbered(label):
  return Table({"label": np.asarray(label), "place": np.arange(len(label))})


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


def test_hold_out_is_disjoint_complete_and_equal_in_each_class():
  table = numbered(np.repeat([0, 1, 2], [60, 30, 10]))
  keep, out = catalogue.hold_out(table, 0.3, 0)
  places = np.concatenate([keep.columns["place"], out.columns["place"]])
  assert sorted(places) == list(range(100))
  assert np.bincount(out.columns["label"]).tolist() == [18, 9, 3]
  assert (np.diff(keep.columns["place"]) > 0).all() and (np.diff(out.columns["place"]) > 0).all()


def test_hold_out_without_labels():
  keep, out = catalogue.hold_out(Table({"place": np.arange(10)}), 0.2, 0)
  assert len(keep) == 8 and len(out) == 2


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_hold_out_of_an_impossible_fraction(fraction):
  with pytest.raises(UserError, match="between 0 and 1, found"):
    catalogue.hold_out(numbered([0, 1] * 9), fraction, 0)


@pytest.mark.parametrize(
  "label, fraction",
  [
    ([0] * 9 + [1], 0.3),
    ([0, 1, 2] * 4, 0.1),
    ([0] * 98 + [1] * 2, 0.05),
    ([0] * 98 + [1] * 2, 0.9),
  ],
)
def test_hold_out_that_leaves_a_class_on_one_side_only(label, fraction):
  with pytest.raises(UserError, match=f"cannot hold out {fraction:g} of {len(label)} examples"):
    catalogue.hold_out(numbered(label), fraction, 0)


def test_validation_is_held_out_of_the_training_split():
  whole, splits = load(), load(validation=0.1)
  assert sorted(rows(splits["test"])) == sorted(rows(whole["test"]))
  assert len(splits["validation"]) == 144
  assert sorted(rows(splits["train"]) + rows(splits["validation"])) == sorted(rows(whole["train"]))


def test_unknown_source():
  with pytest.raises(UserError, match="unknown data.name 'digit'; did you mean digits"):
    load("digit")


def test_unknown_argument():
  with pytest.raises(UserError, match="data.arguments of fake: .*'sizes'"):
    load("fake", sizes=3)


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
