"""Batches as a function of (seed, step); evaluation in order; moments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.data.inputs.image import moments, scale
from cnnjax.data.pipeline import (
  eval_batches,
  gather,
  pad,
  train_indices,
  train_mirrored,
)
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing


def table(count):
  """Returns examples whose image and label both say which they are."""
  label = np.arange(count, dtype=np.int32)
  image = np.broadcast_to(label[:, None, None, None], (count, 2, 3, 1)).astype(np.uint8)
  return Table({"image": image, "label": label})


def train_batches(table, *arguments):
  places = train_indices(table, *arguments)
  return lambda step: gather(table.columns, places(step))


def stream(count, batch_size, steps, seed=0):
  """Returns the labels of the first batches as one row."""
  batch = train_batches(table(count), batch_size, seed)
  return np.concatenate([batch(step)["label"] for step in range(steps)])


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_batches_are_places_of_the_concatenated_permutations(batch_size, more, seed):
  count = batch_size + more - 1
  labels = stream(count, batch_size, 3 * count, seed)  # ends with an epoch, B divides 3N or not
  for epoch in labels.reshape(-1, count):
    assert sorted(epoch) == list(range(count))
  one_by_one = stream(count, 1, len(labels), seed)
  np.testing.assert_array_equal(labels, one_by_one)


def test_each_epoch_sees_each_example_once_in_a_new_order():
  first, second, third = stream(24, 6, 12).reshape(3, 24)
  for epoch in (first, second, third):
    assert sorted(epoch) == list(range(24)) and epoch.tolist() != list(range(24))
  assert (first != second).any() and (second != third).any() and (first != third).any()


def test_a_batch_depends_on_seed_and_step_alone():
  batch = train_batches(table(23), 5, 7)
  order = np.random.default_rng(0).permutation(40)
  shuffled = {step: batch(int(step))["label"] for step in order}
  for step in range(40):
    fresh = train_batches(table(23), 5, 7)
    np.testing.assert_array_equal(shuffled[step], fresh(step)["label"])


def test_far_steps_need_no_way_there():
  batch = train_batches(table(10), 4, 0)
  far = batch(10**9)
  np.testing.assert_array_equal(far["label"], train_batches(table(10), 4, 0)(10**9)["label"])
  assert len(set(far["label"].tolist())) == 4


def test_seeds_differ():
  rows = [stream(50, 10, 5, seed).tolist() for seed in range(4)]
  assert len(set(map(tuple, rows))) == 4
  assert (stream(50, 10, 10, seed=0)[50:] != stream(50, 10, 5, seed=1)).any()  # nor by an epoch


@pytest.mark.parametrize(("count", "size"), [(24, 6), (23, 5), (7, 7), (10, 4)])
def test_each_example_has_turned_in_exactly_every_other_epoch(count, size):
  """Also where a batch holds the end of an epoch and the beginning of the next."""
  data = table(count)
  places = train_indices(data, size, 3)
  turns = train_mirrored(data, places, size, 3)
  steps = range(4 * count)
  place = np.concatenate([places(k) for k in steps])  # of 4 size epochs
  turned = np.concatenate([turns(k) for k in steps])
  by_epoch = np.zeros((len(place) // count, count), bool)
  epoch = np.arange(len(place)) // count
  by_epoch[epoch, place] = turned
  assert len(by_epoch) >= 4
  assert (by_epoch[1:] != by_epoch[:-1]).all()
  assert abs(int(by_epoch[0].sum()) - count / 2) < 1  # half of them, in the first


def test_turns_depend_on_seed_and_step_alone_and_on_no_host():
  data = table(23)
  turns = [train_mirrored(data, train_indices(data, 6, seed), 6, seed) for seed in (0, 0, 1)]
  far = 10**9
  np.testing.assert_array_equal(turns[0](far), turns[1](far))
  assert any((turns[0](k) != turns[2](k)).any() for k in range(4))
  rows = np.array([1, 4])
  half = train_mirrored(data, train_indices(data, 6, 0, rows), 6, 0, rows)
  for k in range(9):
    np.testing.assert_array_equal(half(k), turns[0](k)[rows])


def test_columns_stay_together_and_nothing_is_masked():
  batch = train_batches(table(23), 5, 7)
  for step in range(9):
    found = batch(step)
    assert found["image"].shape == (5, 2, 3, 1) and found["image"].dtype == np.uint8
    assert (found["image"][:, 1, 2, 0] == found["label"]).all()
    assert found["mask"].tolist() == [1] * 5 and found["mask"].dtype == np.float32


def test_fewer_examples_than_a_batch():
  assert sorted(train_batches(table(8), 8, 0)(0)["label"]) == list(range(8))
  with pytest.raises(
    UserError, match="holds 8 examples, fewer than one batch of 9.*data.batch_size"
  ):
    train_batches(table(8), 9, 0)


@pytest.mark.parametrize("count, batch_size", [(10, 4), (8, 4), (3, 8), (1, 1)])
def test_evaluation_covers_each_example_once_in_order(count, batch_size):
  batches = list(eval_batches(table(count), batch_size))
  assert {b["label"].shape for b in batches} == {(batch_size,)}
  assert len(batches) == -(-count // batch_size)
  mask = np.concatenate([b["mask"] for b in batches])
  label = np.concatenate([b["label"] for b in batches])
  image = np.concatenate([b["image"] for b in batches])
  assert label[mask > 0].tolist() == list(range(count))
  assert mask.tolist() == [1] * count + [0] * (len(mask) - count)
  assert (image[:, 0, 0, 0] == label).all() and (label[mask == 0] == 0).all()
  assert image.dtype == np.uint8 and label.dtype == np.int32 and mask.dtype == np.float32


def test_pad_leaves_a_full_batch_alone():
  columns = {"label": np.int32([3, 4])}
  full = pad(columns, 2)
  assert full["label"].tolist() == [3, 4] and full["mask"].tolist() == [1, 1]
  assert pad(columns, 4)["label"].tolist() == [3, 4, 0, 0]


def test_moments_are_those_of_numpy():
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
  image[..., 1] //= 3
  mean, std = moments(Table({"image": image}))
  scaled = image / 255
  np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), atol=1e-6)
  np.testing.assert_allclose(std, scaled.std((0, 1, 2)), atol=1e-6)


def test_moments_of_a_flat_channel_may_be_divided_by():
  mean, std = moments(Table({"image": np.full((2, 3, 3, 1), 51, np.uint8)}))
  assert mean == (0.2,) and std[0] > 0


def test_scaled_images_have_mean_0_and_deviation_1():
  image = np.random.default_rng(1).integers(0, 200, (9, 6, 6, 3), dtype=np.uint8)
  mean, std = moments(Table({"image": image}))
  batch = {"image": image, "label": np.arange(9)}
  found = scale(batch, Preprocessing(mean=mean, std=std))
  assert found["image"].dtype == np.float32 and found["label"] is batch["label"]
  np.testing.assert_allclose(found["image"].mean((0, 1, 2)), 0, atol=1e-4)
  np.testing.assert_allclose(found["image"].std((0, 1, 2)), 1, atol=1e-4)
  plain = scale(batch, Preprocessing())["image"]
  np.testing.assert_allclose(plain, image / 255, atol=1e-6)
