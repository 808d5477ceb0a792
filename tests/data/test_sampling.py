"""Epochs of each example once, and of each class as often as another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.data.pipeline import train_indices
from cnnjax.data.sampling import epochs
from cnnjax.data.table import Table
from cnnjax.errors import UserError


def table(counts, seed=0):
  """Returns a table with so many examples of each class, in any order."""
  label = np.repeat(np.arange(len(counts)), counts)
  return Table({"label": np.random.default_rng(seed).permutation(label).astype(np.int32)})


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 3), st.integers(0, 9))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_balanced_epochs_hold_each_class_as_often_as_another(counts, seed, epoch):
  data, there = table([*counts, 1]), [n for n in [*counts, 1] if n]
  label = data.columns["label"]
  places = epochs(data, seed, "balanced")(epoch)
  assert len(places) == len(label)
  drawn = np.unique(label[places], return_counts=True)[1]
  assert len(drawn) == len(there) and drawn.max() - drawn.min() <= 1
  for c in np.unique(label):  # and of a class each example as often as another
    times = np.bincount(places, minlength=len(label))[label == c]
    assert times.max() - times.min() <= 1


def test_balanced_orders_depend_on_seed_and_epoch_alone():
  data = table([50, 9, 3])
  order = epochs(data, 4, "balanced")
  later = order(7)
  np.testing.assert_array_equal(later, epochs(data, 4, "balanced")(7))
  assert (later != order(6)).any() and (later != epochs(data, 5, "balanced")(7)).any()
  label = data.columns["label"]
  blocks = np.diff(label[later]) != 0
  assert blocks.mean() > 0.5  # classes are mixed, not one after another


def test_what_is_left_over_goes_to_another_class_each_epoch():
  data = table([5, 5])
  data = Table({"label": np.append(data.columns["label"], 0)})
  more = {int(data.columns["label"][epochs(data, 0, "balanced")(e)].sum()) for e in range(20)}
  assert more == {5, 6}


def test_all_examples_are_seen_in_time():
  data, seen = table([40, 2]), set()
  for epoch in range(20):
    seen |= set(epochs(data, 0, "balanced")(epoch).tolist())
  assert seen == set(range(42))


def test_batches_are_places_of_the_epochs():
  data = table([20, 3])
  order, places = epochs(data, 2, "balanced"), train_indices(data, 5, 2, None, "balanced")
  line = np.concatenate([places(step) for step in range(23)])
  np.testing.assert_array_equal(line, np.concatenate([order(epoch) for epoch in range(5)]))
  half = train_indices(data, 5, 2, np.array([1, 4]), "balanced")
  np.testing.assert_array_equal(half(9), places(9)[[1, 4]])


def test_uniform_is_what_it_was():
  order = epochs(table([6, 2]), 3)
  np.testing.assert_array_equal(order(5), np.random.default_rng([3, 5]).permutation(8))


def test_refused():
  with pytest.raises(UserError, match="unknown data.sampling 'balance'; did you mean balanced"):
    epochs(table([1]), 0, "balance")
  with pytest.raises(UserError, match="balanced needs a class for each image"):
    epochs(Table({"target": np.ones((3, 1))}), 0, "balanced")
