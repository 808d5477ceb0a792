"""Classes of data read anew are matched by name with those that a network knows."""

import unicodedata

import numpy as np
import pytest

from cnnjax.data.classes import in_order, with_names
from cnnjax.data.table import Table
from cnnjax.errors import UserError

LABELS = np.asarray([0, 1, 2, 1], np.int32)


def named(table):
  return [table.classes[label] for label in table.columns["label"]]


@pytest.mark.parametrize("known", [("a", "b", "c"), ("c", "a", "b"), ("b", "x", "c", "a")])
def test_a_label_keeps_its_name(known, capsys):
  table = Table({"label": LABELS}, ("a", "b", "c"))
  found = in_order({"test": table}, known, "the run")["test"]
  assert named(found) == named(table) == ["a", "b", "c", "b"] and found.classes == known
  assert capsys.readouterr().err == ("the test split knows no x\n" if "x" in known else "")


def test_boxes_and_targets_keep_their_names():
  labels, valid = np.asarray([[0, 1], [2, 0]], np.int32), np.asarray([[1, 1], [1, 0]], np.float32)
  boxes = Table({"labels": labels, "valid": valid}, ("a", "b", "c"))
  found = in_order({"test": boxes}, ("c", "a", "b"), "the run")["test"]
  assert found.columns["labels"][valid > 0].tolist() == [1, 2, 0]
  target = Table({"target": np.asarray([[1.0, 2.0, 3.0]])}, ("a", "b", "c"))
  found = in_order({"test": target}, ("c", "a", "b"), "the run")["test"]
  assert found.columns["target"].tolist() == [[3.0, 1.0, 2.0]]


def test_the_form_of_an_accent_is_no_other_name():
  forms = [unicodedata.normalize(form, "Hände") for form in ("NFC", "NFD")]
  assert forms[0] != forms[1]
  for a, b in (forms, forms[::-1]):
    table = Table({"label": LABELS[:2]}, (a, "b"))
    assert in_order({"test": table}, ("b", b), "it")["test"].columns["label"].tolist() == [1, 0]


@pytest.mark.parametrize(
  ("key", "classes", "sentence"),
  [
    ("label", ("a", "b", "d"), "knows the 3 classes a, b, c; the test split has 3: a, b, d; .* d"),
    ("label", ("a", "b", "c", "d"), "has 4: a, b, c, d; it does not know d"),
    ("target", ("a", "b"), "knows the 3 classes a, b, c; the test split has 2: a, b"),
  ],
)
def test_other_names_are_refused_with_both_lists(key, classes, sentence):
  table = Table({key: np.zeros((2, len(classes)) if key == "target" else 2, np.int32)}, classes)
  with pytest.raises(UserError, match=sentence):
    in_order({"test": table}, ("a", "b", "c"), "the run")


def test_names_of_a_config_order_or_rename_the_classes():
  table = Table({"label": LABELS}, ("a", "b", "c"))
  ordered = with_names({"train": table}, ("c", "b", "a"))["train"]
  assert named(ordered) == named(table) and ordered.classes == ("c", "b", "a")
  assert with_names({"train": table}, ("x", "y", "z"))["train"] is table
  assert with_names({"train": table}, ("a", "b", "z"))["train"] is table  # c is called z
  with pytest.raises(UserError, match="has c where the data have another class: a, b, c"):
    with_names({"train": table}, ("a", "c", "z"))
