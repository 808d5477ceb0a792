"""Generated images, series or clips, which need no download and can be learnt in a few steps."""

import numpy as np

from cnnjax.data.table import Table
from cnnjax.errors import unknown

LABELS = ("class", "flags", "numbers", "segments")
KEYS = {"class": "label", "segments": "segments"}  # columns of the answers; of others `target`


def load(
  root: str,
  seed: int,
  *,
  input: str = "image",
  examples: int = 512,
  classes: int = 10,
  size: int = 28,
  channels: int = 1,
  label: str = "class",
  frames: int = 8,
) -> dict[str, Table]:
  """Returns splits of noisy gratings in several directions, or of waves of several frequencies.

  In a clip the gratings drift by an eighth of a period from frame to frame.

  Args:
    root: not used.
    seed: of all random draws.
    input: "image" or "clip" for gratings, "series" for waves.
    examples: number of examples in each split.
    classes: number of directions, or frequencies.
    size: sides of the images, in pixels, or length of the series.
    channels: of the examples.
    label: "class": an example has one direction, its class; "flags": it has any number of them,
      each marked by 1, else 0; "numbers": it has all, each with a strength from 0 to 100;
      "segments": an image has two of them, to the left and the right of a line, and a class map.
    frames: of a clip.
  """
  del root
  known = LABELS if input == "image" else LABELS[:-1]
  if label not in known:
    raise unknown("data.arguments.label", str(label), known)
  rng = np.random.default_rng([seed, 0xFA4E])
  if input in ("image", "clip"):
    names = tuple(f"{180 * c // classes} degrees" for c in range(classes))
  elif input == "series":
    names = tuple(f"{c + 1} periods" for c in range(classes))
  else:
    raise unknown("data.input of fake", input, ("image", "series", "clip"))

  def split() -> Table:
    if label in ("class", "segments"):
      answer = rng.permutation(np.arange(examples) % classes).astype(np.int32)
      strength = (answer[:, None] == np.arange(classes)).astype(np.float32)
    elif label == "flags":
      strength = answer = rng.integers(0, 2, (examples, classes)).astype(np.float32)
    else:
      strength = rng.uniform(0, 1, (examples, classes)).astype(np.float32)
      answer = 100 * strength
    phase = rng.uniform(0, 2 * np.pi, (examples, 1, 1))
    if input == "series":
      time = 2 * np.pi * np.arange(1, classes + 1)[:, None] * np.arange(size) / size
      wave = np.einsum("nc,ncl->nl", strength, np.sin(time + phase))
      series = wave[..., None] + rng.normal(0, 0.3, (examples, size, channels))
      columns = {"series": series.astype(np.float32)}
    else:
      moves = np.pi / 4 * np.arange(frames if input == "clip" else 1)
      wave = np.stack([_gratings(strength, phase + move, size) for move in moves], 1)
      if label == "segments":
        left = np.arange(size) < rng.integers(size // 4, 3 * size // 4 + 1, (examples, 1, 1))
        right = _gratings(np.roll(strength, 1, 0), phase, size)
        wave = np.where(left, wave[:, 0], right)[:, None]
        answer = np.where(left, answer[:, None, None], np.roll(answer, 1)[:, None, None])
        answer = answer.repeat(size, 1).astype(np.uint8)
      noise = rng.normal(0, 0.3, (*wave.shape, channels))
      clip = np.clip(127.5 + 80 * (wave[..., None] + noise), 0, 255).astype(np.uint8)
      columns = {input: clip if input == "clip" else clip[:, 0]}
    return Table({**columns, KEYS.get(label, "target"): answer}, names)

  return {"train": split(), "test": split()}


def _gratings(strength: np.ndarray, phase: np.ndarray, size: int) -> np.ndarray:
  """Returns sums [N, size, size] of C waves of strength [N, C], 180 degrees / C apart."""
  y, x = np.mgrid[:size, :size] / size
  found = np.zeros((len(strength), size, size))
  for place, of_one in enumerate(strength.T):
    angle, there = np.pi / len(strength.T) * place, of_one > 0
    line = 8 * np.pi * (x * np.cos(angle) + y * np.sin(angle))
    found[there] += of_one[there, None, None] * np.sin(line + phase[there])
  return found
