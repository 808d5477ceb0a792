"""How a volume is prepared for a network, as a value that a model or a config holds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VolumePreprocessing:
  """Resample to a spacing, normalise the values, then cut or fill to a size, or take windows.

  Axes are (depth, height, width): from the feet to the head, from the back to the front and from
  the left to the right of the person, where a file says how it lies.

  Attributes:
    spacing: millimetres of a voxel along each axis; None takes volumes as they are.
    channels: of a voxel.
    normalize: "each" subtracts the mean of a volume and divides by its deviation, as suits MRI;
      "all" clips to `clip` and takes `mean` and `std`, as suits CT, whose values have a meaning.
    clip: (lowest, highest) value that is kept, for "all"; None for any.
    mean: one value a channel, or one for all, for "all".
    std: their standard deviation, in the same form.
    crop: (depth, height, width) cut from the centre, mirrored where the volume is smaller; None
      where windows are taken.
    tile: (depth, height, width) of the window that the network sees of a volume.
    overlap: part of such a window, at least, that the next one covers too.
    foreground: part of a training's windows that are laid around a voxel of some class but the
      first.
  """

  input = "volume"

  spacing: tuple[float, float, float] | None = None
  channels: int = 1
  normalize: str = "each"
  clip: tuple[float, float] | None = None
  mean: tuple[float, ...] = (0.0,)
  std: tuple[float, ...] = (1.0,)
  crop: tuple[int, int, int] | None = None
  tile: tuple[int, int, int] | None = None
  overlap: float = 0.5
  foreground: float = 1 / 3
  labels: str = ""

  @property
  def shape(self) -> tuple[int, int, int, int] | None:
    """(depth, height, width, channels) of the network's input, None where any is possible."""
    size = self.tile or self.crop
    return (*size, self.channels) if size else None

  @property
  def ragged(self) -> bool:
    """Whether examples keep their own sizes, and are answered one by one, by windows."""
    return self.tile is not None
