"""What is told of the data, by split."""

import numpy as np

from cnnjax.data.describe import describe
from cnnjax.data.table import Table


def test_classes_are_counted_also_those_without_examples():
  split = Table({"label": np.int32([0, 2, 2])}, ("a", "b", "c"))
  assert describe({"train": split}) == {"train": {"examples": 3, "counts": [1, 0, 2]}}


def test_labels_are_counted_and_numbers_summarised():
  flags, numbers = np.float32([[0, 1], [1, 1], [0, 1]]), np.float32([[1, 10], [3, 30]])
  splits = {"train": Table({"target": flags}), "test": Table({"target": flags[:2]})}
  assert [of["counts"] for of in describe(splits).values()] == [[1, 3], [1, 2]]
  splits["test"] = Table({"target": numbers})
  found = describe(splits)
  assert "counts" not in found["train"]
  assert found["test"] == {
    "examples": 2,
    "mean": [2, 20],
    "std": [1, 10],
    "min": [1, 10],
    "max": [3, 30],
  }


def test_images_alone_have_a_number():
  assert describe({"test": Table({"image": np.zeros((4, 2, 2, 1))})}) == {"test": {"examples": 4}}
