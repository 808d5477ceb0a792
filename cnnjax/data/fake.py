"""Generated images or series, which need no download and can be learnt in a few steps."""

import numpy as np

from cnnjax.data.table import Table
from cnnjax.errors import unknown

LABELS = ("class", "flags", "numbers")


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
) -> dict[str, Table]:
  """Returns splits of noisy gratings in several directions, or of waves of several frequencies.

  Args:
    root: not used.
    seed: of all random draws.
    input: "image" for gratings, "series" for waves.
    examples: number of examples in each split.
    classes: number of directions, or frequencies.
    size: sides of the images, in pixels, or length of the series.
    channels: of the examples.
    label: "class": an example has one direction, its class; "flags": it has any number of them,
      each marked by 1, else 0; "numbers": it has all, each with a strength from 0 to 100.
  """
  del root
  if label not in LABELS:
    raise unknown("data.arguments.label", str(label), LABELS)
  rng = np.random.default_rng([seed, 0xFA4E])
  if input == "image":
    names = tuple(f"{180 * c // classes} degrees" for c in range(classes))
  elif input == "series":
    names = tuple(f"{c + 1} periods" for c in range(classes))
  else:
    raise unknown("data.input of fake", input, ("image", "series"))

  def split() -> Table:
    if label == "class":
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
      wave = _gratings(strength, phase, size)
      noise = rng.normal(0, 0.3, (examples, size, size, channels))
      image = 127.5 + 80 * (wave[..., None] + noise)
      columns = {"image": np.clip(image, 0, 255).astype(np.uint8)}
    return Table({**columns, "label" if label == "class" else "target": answer}, names)

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
