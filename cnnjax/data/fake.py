"""Generated examples: unlimited data without a network, learnable in a few steps."""

import numpy as np

from cnnjax.data.table import Table


def load(
  root: str,
  seed: int,
  *,
  examples: int = 512,
  classes: int = 10,
  size: int = 28,
  channels: int = 1,
) -> dict[str, Table]:
  """Returns noisy gratings whose direction is their class, `examples` a split; root is not read."""
  del root
  rng = np.random.default_rng([seed, 0xFA4E])
  names = tuple(f"{180 * c // classes} degrees" for c in range(classes))

  def split() -> Table:
    label = rng.permutation(np.arange(examples) % classes).astype(np.int32)
    angle = (np.pi / classes * label)[:, None, None]
    y, x = np.mgrid[:size, :size] / size
    phase = rng.uniform(0, 2 * np.pi, (examples, 1, 1))
    wave = np.sin(8 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    noise = rng.normal(0, 0.3, (examples, size, size, channels))
    image = 127.5 + 80 * (wave[..., None] + noise)
    return Table({"image": np.clip(image, 0, 255).astype(np.uint8), "label": label}, names)

  return {"train": split(), "test": split()}
