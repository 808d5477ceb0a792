"""Random augmentation of volumes on the device, inside the step, of whole batches.

Volumes are normalised: their mean is about 0, their deviation about 1. Each operation changes a
part of the examples, as nnU-Net does (Isensee et al., arXiv:1809.10486); an example that it leaves
out keeps its bits.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.data.augment import WANTED, fits_kind
from cnnjax.data.field import along, coarse, drawn, gaussian, powers
from cnnjax.data.warp_volume import random_bends, random_maps, warp
from cnnjax.errors import UserError, unknown
from cnnjax.keys import KEYS
from cnnjax.ops.cpu.barrier import barrier

Batch = dict[str, Any]
EACH = dict(axis=(1, 2, 3), keepdims=True)  # over the voxels of each channel of each example
LEAST = 1e-7  # divisor, where all values are equal
DEGREE = 3  # of the polynomial of a bias field, as in TorchIO's RandomBiasField


def _mirror(key, batch, chosen, *, axis):
  """Mirrors half of the volumes along an axis, with their classes."""
  mirrored = jax.random.bernoulli(key, shape=(len(batch["volume"]), 1, 1, 1))
  found = {"volume": (mirrored[..., None], batch["volume"])}
  if "segments" in batch:
    found["segments"] = (mirrored, batch["segments"])
  return {n: jnp.where(which, jnp.flip(old, axis), old) for n, (which, old) in found.items()}


def _affine(key, batch, options, *, probability):
  """Moves each volume by one map and one smooth deformation, sampled once."""
  ranges, volume = dict(options), batch["volume"]
  shape, deviation, bends = (len(volume), volume.shape[1:4]), ranges.pop("elastic", 0), None
  of_maps, of_bends = jax.random.split(key)
  maps = random_maps(of_maps, *shape, **ranges, probability=probability)
  if deviation:
    bends = random_bends(of_bends, *shape, deviation, probability)
  volume, segments = warp(volume, maps, bends, batch.get("segments"))
  return {"volume": volume} if segments is None else {"volume": volume, "segments": segments}


def _some(function: Callable, probability: float, channels: float = 1.0) -> Callable:
  """Returns an operation that applies a function (key, volume, value) to a part of the volumes.

  Args:
    function: of all volumes.
    probability: of an example to be changed.
    channels: probability of each of its channels, then.
  """

  def apply(key, batch, value):
    how, examples, parts = jax.random.split(key, 3)
    volume = batch["volume"]
    chosen = jax.random.bernoulli(examples, probability, _one_each(volume, False))
    chosen &= jax.random.bernoulli(parts, channels, _one_each(volume))
    return {"volume": jnp.where(chosen, function(how, volume, value), volume)}

  return apply


def _one_each(volume, of_channels=True):
  return (len(volume), 1, 1, 1, volume.shape[-1] if of_channels else 1)


def _draw(key, volume, low, high):
  """Returns a number for each channel of each example, [B, 1, 1, 1, C]."""
  return jax.random.uniform(key, _one_each(volume), minval=low, maxval=high)


def brightness(key: jax.Array, volume: jax.Array, strength: float) -> jax.Array:
  """Multiplies each channel by a factor from 1 - strength to 1 + strength."""
  return volume * _draw(key, volume, max(0.0, 1 - strength), 1 + strength)


def contrast(key: jax.Array, volume: jax.Array, strength: float) -> jax.Array:
  """Multiplies the differences from a channel's mean by such a factor, within its old range."""
  factor, mean = _draw(key, volume, max(0.0, 1 - strength), 1 + strength), volume.mean(**EACH)
  return jnp.clip(mean + (volume - mean) * factor, *_range(volume))


def gamma(key: jax.Array, volume: jax.Array, strength: float) -> jax.Array:
  """Raises a channel's values, from 0 to 1, to a power from exp(-strength) to exp(strength)."""
  low, high = _range(volume)
  power = jnp.exp(_draw(key, volume, -strength, strength))
  part = (volume - low) / jnp.maximum(high - low, LEAST)
  return _restored(jnp.exp(power * jnp.log(part)), volume)  # a fifth of the time of `**`


def bias_field(key: jax.Array, volume: jax.Array, strength: float) -> jax.Array:
  """Multiplies a channel, counted from its least value, by a smooth field, as an MRI's coil does.

  The field is the exponential of a polynomial whose coefficients are drawn from -strength to
  strength, of positions from -1 to 1. It has no constant, which `brightness` draws.
  """
  count = DEGREE + 1
  order = jnp.indices((count,) * 3).sum(0)[None, ..., None]
  shape = (len(volume), *(count,) * 3, volume.shape[-1])
  parts = drawn(jax.random.uniform, key, shape, minval=-strength, maxval=strength)
  parts = jnp.where((order > 0) & (order <= DEGREE), parts, 0)
  field = jnp.exp(along(parts, [powers(n, DEGREE) for n in volume.shape[1:4]]))
  return _restored((volume - _range(volume)[0]) * field, volume)


# Without the barriers XLA's reductions on the CPU take in what reads them, and bias_field, contrast
# and gamma together take 65 ms of a CPU's time instead of 6, for 8 volumes of 48x64x48.


def _range(volume):
  """Returns the least and the largest value of each channel."""
  return barrier((volume.min(**EACH), volume.max(**EACH)))


def _restored(changed, volume):
  """Returns changed values with the old means and deviations: a scan is normalised afterwards."""
  changed = barrier(changed)
  (now, wide), (mean, deviation) = _moments(changed), _moments(volume)
  return (changed - now) * (deviation / jnp.maximum(wide, LEAST)) + mean


def _moments(volume):
  mean, square = volume.mean(**EACH), jnp.square(volume).mean(**EACH)
  return barrier((mean, jnp.sqrt(jnp.maximum(square - jnp.square(mean), 0))))


def noise(key: jax.Array, volume: jax.Array, deviation: float) -> jax.Array:
  """Adds Gaussian noise; its standard deviation is drawn from 0 to this one."""
  strong, each = jax.random.split(key)
  size = jax.random.uniform(strong, _one_each(volume, False), maxval=deviation)
  return volume + size * drawn(jax.random.normal, each, volume.shape)


def blur(key: jax.Array, volume: jax.Array, deviation: float) -> jax.Array:
  """Convolves each volume with a Gaussian whose deviation in voxels is drawn from half this one.

  Volumes are continued by the voxels at their border.
  """
  sigma = jax.random.uniform(key, (len(volume),), minval=deviation / 2, maxval=deviation)
  radius = math.ceil(3 * deviation)
  return along(volume, [gaussian(sigma, n, radius) for n in volume.shape[1:4]])


def low_resolution(key: jax.Array, volume: jax.Array, value: tuple[float, float]) -> jax.Array:
  """Leaves a part of the voxels along each axis, from `value`, and goes back between them."""
  factor = jax.random.uniform(key, (len(volume),), minval=value[0], maxval=value[1])
  return along(volume, [coarse(factor, n) for n in volume.shape[1:4]])


# In the order in which they are applied. The index of an operation determines its random key, so a
# new one comes last: then earlier runs keep their keys. Probabilities are those of nnU-Net's
# nnUNetTrainer.get_training_transforms (github.com/MIC-DKFZ/nnUNet), which also raises inverted
# values to a power, in 0.1. What it leaves out is as frequent here as what is nearest to it: shear,
# translation and elastic deformation as rotation, a bias field as a change of brightness.
OPERATIONS = {
  "flip": partial(_mirror, axis=3),
  "flip_vertical": partial(_mirror, axis=2),
  "flip_depth": partial(_mirror, axis=1),
  "affine": partial(_affine, probability=0.2),  # of each of AFFINE; all as one map, sampled once
  "bias_field": _some(bias_field, 0.15),
  "noise": _some(noise, 0.1),
  "blur": _some(blur, 0.2, channels=0.5),
  "brightness": _some(brightness, 0.15),
  "contrast": _some(contrast, 0.15),
  "low_resolution": _some(low_resolution, 0.25, channels=0.5),
  "gamma": _some(gamma, 0.3),
}
AFFINE = ("rotate", "scale", "shear", "translate", "elastic")
KINDS = {  # the types of their values
  name: type(KEYS[f"augment.{name}"].default)
  for name in (*AFFINE, *(name for name in OPERATIONS if name != "affine"))
}


def augment(key: jax.Array, batch: Batch, **options: Any) -> Batch:
  """Returns the batch changed by the operations that `options` name, with their strengths.

  Args:
    key: of the random draws, which differ from example to example.
    batch: with `volume` [B, D, H, W, C], normalised; its `segments` [B, D, H, W], if there are any,
      move with their voxels.
    options: by the names of `KINDS`; an operation with 0, False or () is not applied.
  """
  affine = {name: options[name] for name in AFFINE if options.get(name)}
  for place, (name, operation) in enumerate(OPERATIONS.items()):
    value = affine if name == "affine" else options.get(name)
    if value:
      found = operation(jax.random.fold_in(key, 2 + place), batch, value)
      batch = {**batch, **{n: new.astype(batch[n].dtype) for n, new in found.items()}}
  return batch


def check(options: Mapping[str, Any]) -> None:
  """Raises: UserError for an operation that volumes do not have, or a wrong strength."""
  for name, value in options.items():
    if name not in KINDS:
      raise unknown("config key", f"augment.{name}", [f"augment.{n}" for n in KINDS])
    wanted, fits = WANTED[KINDS[name]], fits_kind(value, KINDS[name])
    if fits and KINDS[name] is tuple:
      fits = list(value) == sorted(value)
    if name == "low_resolution":
      wanted = "(least, largest), both above 0 and at most 1, or ()"
      fits = fits and max(value, default=1) <= 1
    if not fits:
      raise UserError(f"augment.{name} must be {wanted}; found {value!r}")
