"""How a clip of a video is prepared for a network, as a value that a model or a config holds."""

from dataclasses import dataclass

import numpy as np

from cnnjax.ops.preprocess import Preprocessing


@dataclass(frozen=True)
class ClipPreprocessing(Preprocessing):
  """Take frames of a video, then prepare each as `Preprocessing` prepares an image.

  Attributes:
    frames: of a clip; None takes all that there are.
    stride: frames of the video from one that is taken to the next.
    clips: of a video that are scored together, spread evenly over it.
    others: of each frame, as in `Preprocessing`.
  """

  input = "clip"

  frames: int | None = None
  stride: int = 1
  clips: int = 1

  @property
  def shape(self) -> tuple[int, int, int, int] | None:
    """(frames, height, width, channels) of the network's input, None where any may come."""
    image = super().shape
    return (self.frames, *image) if self.frames and image else None


KINETICS = ClipPreprocessing(  # of torchvision's networks, whose resize is not antialiased
  frames=16,
  resize=(128, 171),
  crop=(112, 112),
  mean=(0.43216, 0.394666, 0.37645),
  std=(0.22803, 0.22145, 0.216989),
  interpolation="linear",
)


def spread(length: int, to: ClipPreprocessing) -> np.ndarray:
  """Returns the places [clips, frames] of clips spread evenly over a video of so many frames.

  One clip is its middle.
  """
  last = max(length - _span(length, to), 0)
  starts = np.round(np.linspace(0, last, to.clips)) if to.clips > 1 else [last // 2]
  return np.stack([_from(int(start), length, to) for start in starts])


def drawn(rng: np.random.Generator, length: int, to: ClipPreprocessing) -> np.ndarray:
  """Returns the places [frames] of a clip that begins anywhere in a video of so many frames."""
  return _from(int(rng.integers(max(length - _span(length, to), 0) + 1)), length, to)


def _span(length: int, to: ClipPreprocessing) -> int:
  """Returns the number of frames from a clip's first one to its last."""
  return ((to.frames or -(-length // to.stride)) - 1) * to.stride + 1


def _from(start: int, length: int, to: ClipPreprocessing) -> np.ndarray:
  """Returns the places of a clip; where the video ends before it, its last frame is repeated."""
  count = to.frames or -(-length // to.stride)
  return np.minimum(start + to.stride * np.arange(count), length - 1)
