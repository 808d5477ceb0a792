"""Moving digits: the direction is in the clip, and not in any of its frames."""

import numpy as np
import pytest

from cnnjax.data import digits, moving_digits
from cnnjax.data.moving_digits import DIRECTIONS, SIDE, SPEEDS
from cnnjax.errors import UserError
from cnnjax.ops.clip import ClipPreprocessing


def load(examples, frames=4, **options):
  return moving_digits.load(
    "", 0, to=ClipPreprocessing(frames=frames), examples=examples, **options
  )


def test_a_digit_moves_in_its_direction_and_comes_in_again():
  splits, steps = load(64, 12), list(DIRECTIONS.values())
  for split, table in splits.items():
    shapes = digits.load("", 0)[split].columns["image"][..., 0].reshape(-1, 64)
    assert np.bincount(table.columns["label"]).tolist() == [8] * 8
    for clip, label in zip(table.columns["clip"][..., 0], table.columns["label"]):
      fits = [
        all((np.roll(a, np.multiply(speed, steps[label]), (0, 1)) == b).all() for a, b in
            zip(clip, clip[1:]))
        for speed in SPEEDS
      ]  # fmt: skip
      assert sum(fits) == 1
      seen = np.sort(clip[0][clip[0] > 0])  # a digit of this split, whole in each frame
      assert any(np.array_equal(seen, np.sort(one[one > 0])) for one in shapes)
      assert (np.sort(clip.reshape(12, -1)) == np.sort(clip[0].ravel())).all()


def test_no_frame_says_anything_of_the_direction():
  """Places are uniform over the picture for every direction, in the first frame and in the last."""
  table = load(8192, 3)["train"]
  clip, label = table.columns["clip"][..., 0].astype(float), table.columns["label"]
  angle = np.exp(2j * np.pi * np.arange(SIDE) / SIDE)
  for frame in (0, 2):
    for axis in (1, 2):
      mass = clip[:, frame].sum(axis)  # where the digit is along the other axis
      place = (mass * angle).sum(1) / mass.sum(1)
      place /= np.abs(place)
      for direction in range(8):
        here = place[label == direction]
        assert abs(here.mean()) < 4 / np.sqrt(len(here))  # of a uniform angle, Rayleigh's test
  brightness = clip[:, 0].sum((1, 2))
  means = [brightness[label == direction].mean() for direction in range(8)]
  assert np.ptp(means) < 6 * brightness.std() / np.sqrt(1024)


def test_frames_alone_are_of_the_same_clips():
  clips, images = load(50)["test"], load(50, input="image")["test"]
  np.testing.assert_array_equal(clips.columns["label"], images.columns["label"])
  same = (clips.columns["clip"] == images.columns["image"][:, None]).all((2, 3, 4))
  assert same.any(1).all() and images.columns["image"].shape == (50, 32, 32, 1)
  again = load(50)["test"].columns["clip"]
  np.testing.assert_array_equal(again, clips.columns["clip"])


def test_noise_and_wrong_arguments():
  assert load(8, noise=20.0)["train"].columns["clip"].std((2, 3)).min() > 0
  with pytest.raises(UserError, match="unknown data.input of moving_digits 'series'"):
    load(8, input="series")
  with pytest.raises(UserError, match="examples must be at least 1; found 0"):
    load(0)
