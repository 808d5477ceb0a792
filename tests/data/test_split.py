"""Parts held out and folds: disjoint, complete, equal in each class."""

import numpy as np
import pytest

from cnnjax.data.split import find_splits, fold, hold_out, of_split, split_of
from cnnjax.data.table import Table
from cnnjax.errors import UserError

LABEL = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [60, 31, 10]))


def numbered(label, classes=()):
  return Table({"label": np.asarray(label), "place": np.arange(len(label))}, classes)


def test_hold_out_is_disjoint_complete_and_equal_in_each_class():
  table = numbered(np.repeat([0, 1, 2], [60, 30, 10]))
  keep, out = hold_out(table, 0.3, 0)
  places = np.concatenate([keep.columns["place"], out.columns["place"]])
  assert sorted(places) == list(range(100))
  assert np.bincount(out.columns["label"]).tolist() == [18, 9, 3]
  assert (np.diff(keep.columns["place"]) > 0).all() and (np.diff(out.columns["place"]) > 0).all()


def test_hold_out_without_labels():
  keep, out = hold_out(Table({"place": np.arange(10)}), 0.2, 0)
  assert len(keep) == 8 and len(out) == 2


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), "a half"])
def test_hold_out_of_an_impossible_fraction(fraction):
  with pytest.raises(UserError, match="between 0 and 1, found"):
    hold_out(numbered([0, 1] * 9), fraction, 0)


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
    hold_out(numbered(label), fraction, 0)


def test_hold_out_of_a_class_of_one():
  table = numbered([0] * 9 + [1, 2], ("ant", "3.5", "4"))
  with pytest.raises(UserError, match="examples: class 3.5 has only one, of 3 classes$"):
    hold_out(table, 0.2, 0)


def test_folds_part_the_table_and_each_class_equally():
  pairs = [fold(numbered(LABEL), 5, k, 0) for k in range(5)]
  tests = [test.columns["place"].tolist() for _, test in pairs]
  assert sorted(sum(tests, [])) == list(range(101))
  for rest, test in pairs:
    assert sorted([*rest.columns["place"], *test.columns["place"]]) == list(range(101))
    assert (np.abs(np.bincount(test.columns["label"]) - [12, 6.2, 2]) < 1).all()


def test_folds_depend_on_the_seed_alone():
  one, again, other = (fold(numbered(LABEL), 3, 1, s)[1].columns["place"] for s in (7, 7, 8))
  assert one.tolist() == again.tolist() != other.tolist()


def test_folds_without_labels():
  tests = [fold(Table({"place": np.arange(10)}), 4, k, 0)[1].columns["place"] for k in range(4)]
  assert sorted(np.concatenate(tests)) == list(range(10))
  assert [len(test) for test in tests] == [3, 3, 2, 2]


@pytest.mark.parametrize(
  "table, sentence",
  [
    (numbered([0] * 9 + [1] * 3), "5 needs as many examples of class 1; found 3"),
    (numbered([0] * 9 + [1] * 3, ("cat", "dog")), "5 needs as many examples of class dog; found 3"),
    (Table({"place": np.arange(4)}), "5 needs as many examples; found 4"),
  ],
)
def test_more_folds_than_examples(table, sentence):
  with pytest.raises(UserError, match=sentence):
    fold(table, 5, 0, 0)


@pytest.mark.parametrize(
  "split, names",
  [
    ("train", "train Train TRAINING training_set train-set trainset train_data"),
    ("validation", "val valid VALID Validation dev eval Val_Set development evaluation_data"),
    ("test", "test Test TESTING test_set t10k testdata"),
    ("", "trainval train2017 ._train tests set data vals extra unlabeled"),
  ],
)
def test_spellings_of_splits(split, names):
  assert {split_of(name) for name in names.split()} == {split}


@pytest.mark.parametrize(
  "pattern, there, want",
  [
    ("{split}", "Train valid Test.txt other", {"train": "Train", "validation": "valid"}),
    ("{split}/images", "TRAIN/images val/labels", {"train": "TRAIN/images"}),
    ("images/{split}", "images/dev images/Testing", {"validation": "dev", "test": "Testing"}),
    ("a_{split}2017.json", "A_Val2017.json a_x2017.json", {"validation": "A_Val2017.json"}),
    ("{split}/{split}.txt", "val/valid.txt test/train.txt", {"validation": "val/valid.txt"}),
    ("one", "one train", {"train": "one"}),
    ("none/{split}", "train", {}),
  ],
)
def test_splits_are_found_by_a_pattern(tmp_path, pattern, there, want):
  for name in there.split():
    (tmp_path / name).mkdir(parents=True)
  found = find_splits(tmp_path, pattern)
  assert list(found) == list(want)
  assert all(str(path).endswith(want[split]) for split, path in found.items())


def test_two_folders_of_one_split(tmp_path):
  (tmp_path / "val").mkdir()
  (tmp_path / "valid").symlink_to(tmp_path / "val")
  assert find_splits(tmp_path) == {"validation": tmp_path / "val"}
  (tmp_path / "dev").mkdir()
  with pytest.raises(UserError, match="dev and .*val are both the validation split; keep one"):
    find_splits(tmp_path)


def test_the_folder_of_one_split(tmp_path):
  (tmp_path / "images" / "Val").mkdir(parents=True)
  assert of_split(tmp_path, "images", "test") == tmp_path / "images"
  assert of_split(tmp_path, "images/{split}", "validation") == tmp_path / "images" / "Val"
  with pytest.raises(UserError, match="has no images/{split} of the test split; found .*Val"):
    of_split(tmp_path, "images/{split}", "test")
  with pytest.raises(UserError, match="has no img/{split} of the test split; expected img/test"):
    of_split(tmp_path, "img/{split}", "test")
