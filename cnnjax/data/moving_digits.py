"""Clips of moving digits: a task that needs time, generated from scikit-learn's digits.

A digit moves in one of eight directions, and what leaves the picture on one side comes in on the
other. Where it begins is uniform, so that its place in each single frame is too, for every
direction; digits and speeds are drawn alike for all. So one frame says nothing, and who sees only
one names the right direction of eight in 12.5 % of the clips.
"""

import numpy as np

from cnnjax.data import digits
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown
from cnnjax.ops.preprocess import Preprocessing

DIRECTIONS = {  # rows down and columns to the right of a step
  "right": (0, 1),
  "down right": (1, 1),
  "down": (1, 0),
  "down left": (1, -1),
  "left": (0, -1),
  "up left": (-1, -1),
  "up": (-1, 0),
  "up right": (-1, 1),
}
SIDE, SPEEDS = 32, (1, 2, 3)  # pixels of the picture, and of a step along each axis
DIGIT = 8  # sides of scikit-learn's digits


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  input: str = "clip",
  examples: int = 2000,
  test_examples: int = 0,
  noise: float = 0.0,
) -> dict[str, Table]:
  """Returns clips uint8 [N, T, 32, 32, 1] with the direction of the digit; or single frames.

  The digits of the test split are others than those of the training split.

  Args:
    root: not used.
    seed: of the split of the digits, and of all that is drawn.
    to: the run's preprocessing, whose frames are those of a clip, by default 16.
    input: "clip", or "image" for one frame of each clip, drawn at random: the same clips.
    examples: of the training split.
    test_examples: of the test split; 0: as many.
    noise: deviation of Gaussian noise that is added to each frame, in levels of 255.

  Raises: UserError for an input that is neither, and for no examples.
  """
  del root
  if input not in ("clip", "image"):
    raise unknown("data.input of moving_digits", input, ("clip", "image"))
  if examples < 1 or test_examples < 0:
    raise UserError(f"data.arguments.examples must be at least 1; found {examples}")
  frames = getattr(to, "frames", None) or 16
  counts = {"train": examples, "test": test_examples or examples}
  return {
    split: _split(table.columns["image"], counts[split], frames, input, noise, [seed, place])
    for place, (split, table) in enumerate(digits.load("", seed).items())
  }


def _split(
  shapes: np.ndarray, count: int, frames: int, input: str, noise: float, seed: list[int]
) -> Table:
  """Returns clips of the digits `shapes` [M, 8, 8, 1], or a frame of each."""
  rng, steps = np.random.default_rng(seed), np.asarray(list(DIRECTIONS.values()))
  label = rng.permutation(np.arange(count) % len(steps)).astype(np.int32)
  which = rng.integers(len(shapes), size=count)
  begin = rng.integers(SIDE, size=(count, 2))
  speed = rng.choice(SPEEDS, size=(count, 1))
  seen = np.broadcast_to(np.arange(frames), (count, frames))
  if input == "image":
    seen = rng.integers(frames, size=(count, 1))
  # The pixels [N, T, 2, 8] that the digit covers along each axis.
  corner = begin[:, None] + seen[..., None] * (speed * steps[label])[:, None]
  rows, columns = np.moveaxis((corner[..., None] + np.arange(DIGIT)) % SIDE, 2, 0)
  clip = np.zeros((count, seen.shape[1], SIDE, SIDE), np.uint8)
  places = np.ix_(range(count), range(seen.shape[1]))
  places = [place[..., None, None] for place in places]
  clip[(*places, rows[..., None], columns[..., None, :])] = shapes[which, None, :, :, 0]
  if noise:
    clip = np.clip(clip + rng.normal(0, noise, clip.shape), 0, 255).astype(np.uint8)
  clip = clip[..., None]
  return Table({input: clip if input == "clip" else clip[:, 0], "label": label}, tuple(DIRECTIONS))
