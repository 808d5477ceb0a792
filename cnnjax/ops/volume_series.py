"""How a series of volumes is prepared for a network, as a value that a model or a config holds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VolumeSeriesPreprocessing:
  """Cut to a number of steps, normalise each series by itself, then cut or fill to a size.

  Axes are (steps, depth, height, width); those of space are as in `VolumePreprocessing`. Voxels are
  taken as they are: functional MRI is brought to one spacing when it is registered.

  Attributes:
    length: steps that are kept; a longer series is cut at its end, to a shorter one its mean volume
      is added. None leaves its length alone.
    crop: (depth, height, width) cut from the centre, mirrored where the volumes are smaller; None
      leaves them as they are.
    channels: of a voxel.
    centred: whether each voxel's mean over time is subtracted. What functional MRI measures are
      changes of a percent or so, which the anatomy hides.
    labels: name of the list that names the classes (`models.weights.labels`), "" for none.
  """

  input = "volume_series"

  length: int | None = None
  crop: tuple[int, int, int] | None = None
  channels: int = 1
  centred: bool = False
  labels: str = ""

  @property
  def shape(self) -> tuple[int, int, int, int, int] | None:
    """(steps, depth, height, width, channels) of the network's input, None where any may come."""
    return (self.length, *self.crop, self.channels) if self.length and self.crop else None
