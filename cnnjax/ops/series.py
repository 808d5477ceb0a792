"""What has to happen to a series of numbers before a network sees it, as a value."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class SeriesPreprocessing:
  """Bring to a length, subtract the mean and divide by the deviation.

  Attributes:
    length: steps that are kept; a longer series is cut at its end, a shorter one filled with zeros.
      None leaves its length alone.
    channels: numbers at each step.
    mean: one value a channel, or one for all.
    std: one deviation a channel, or one for all.
    labels: name of the list that names the classes (`models.weights.labels`), "" for none.
  """

  input = "series"

  length: int | None = None
  channels: int = 1
  mean: tuple[float, ...] = (0.0,)
  std: tuple[float, ...] = (1.0,)
  labels: str = ""

  @property
  def shape(self) -> tuple[int, int] | None:
    """(length, channels) of what the network sees, None where any length may come."""
    return (self.length, self.channels) if self.length else None


def normalize(series: jax.Array, preprocessing: SeriesPreprocessing) -> jax.Array:
  """Returns series [..., L, C] as float32, (value - mean) / std."""
  mean, std = (jnp.asarray(v, jnp.float32) for v in (preprocessing.mean, preprocessing.std))
  return (series.astype(jnp.float32) - mean) / std
