"""Random augmentation on the device, inside the step, of whole batches of images from 0 to 255."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cnnjax.data import colour, mix, patch
from cnnjax.data.rand_augment import rand_augment
from cnnjax.data.warp import BOXES, MASKS, compose, random_maps, warp_batch
from cnnjax.errors import UserError, unknown
from cnnjax.keys import KEYS

Batch = dict[str, Any]


def random_shift(
  key: jax.Array, images: jax.Array, pixels: int, mode: str = "constant"
) -> jax.Array:
  """Moves each image [B, ..., H, W, C] by up to so many pixels up or down and left or right.

  Pixels from outside are zeros, or with the mode "reflect" the image mirrored at its border.
  """
  others = images.ndim - 3
  padded = jnp.pad(images, [(0, 0)] * others + [(pixels, pixels)] * 2 + [(0, 0)], mode)
  offsets = jax.random.randint(key, (images.shape[0], 2), 0, 2 * pixels + 1)

  def cut(image, offset):
    start = (*[0] * (others - 1), offset[0], offset[1], 0)
    return jax.lax.dynamic_slice(image, start, images.shape[1:])

  return jax.vmap(cut)(padded, offsets)


def _flip(key, batch, chosen, *, axis):
  """Mirrors half of the images along an axis, with their masks and boxes."""
  return _mirror(batch, jax.random.bernoulli(key, shape=(len(batch["image"]),)), axis)


def _alternate(key, batch, chosen):
  """Mirrors the images that the column `turned` marks: each image in every other epoch."""
  if "turned" not in batch:
    raise UserError("augment.alternate_flip needs a column `turned`, of pipeline.train_mirrored")
  return _mirror(batch, jnp.asarray(batch["turned"]), 1)


def _mirror(batch, mirrored, axis):
  image, found = batch["image"], dict(batch)
  for name in ("image", *MASKS):
    if name in batch:
      value = batch[name]
      turned = jnp.flip(value, value.ndim - (3 if name == "image" else 2) + axis)
      found[name] = jnp.where(_beside(mirrored, value), turned, value)
  for name in BOXES.keys() & batch.keys():
    boxes, size = jnp.asarray(batch[name]), image.shape[image.ndim - 3 + axis]
    low, high = (1, 3) if axis == 0 else (0, 2)
    turned = boxes.at[..., low].set(size - boxes[..., high])
    turned = turned.at[..., high].set(size - boxes[..., low])
    found[name] = jnp.where(_beside(mirrored, boxes), turned, boxes)
  return found


def _beside(chosen, value):
  return chosen.reshape(-1, *(1,) * (value.ndim - 1))


def _shift(key, batch, pixels):
  image = batch["image"]
  if image.ndim == 4 and not {*BOXES, *MASKS} & batch.keys():
    return {**batch, "image": random_shift(key, image, pixels)}
  moves = jax.random.randint(key, (len(image), 2), -pixels, pixels + 1).astype(jnp.float32)
  still = jnp.broadcast_to(jnp.eye(2), (len(image), 2, 2))
  return warp_batch(batch, jnp.concatenate([still, moves[..., None]], -1))


def _affine(key, batch, options):
  """Applies one affine map to each image; with zoom_out the canvas has the image's mean colour."""
  image, ranges = batch["image"], dict(options)
  shape, fill = (len(image), image.shape[-3:-1]), jnp.zeros(())
  canvas, cropped = ranges.pop("zoom_out", 0), ranges.pop("ssd_crop", False)
  maps = random_maps(key, *shape, **ranges)  # it splits the key in eight, so 8 and 9 are free
  if canvas:
    maps = compose(maps, patch.zoom_out(jax.random.fold_in(key, 8), *shape, canvas))
    fill = image.mean(tuple(range(1, image.ndim - 1)), keepdims=True)
  if cropped:
    batch, maps = patch.ssd_crop(jax.random.fold_in(key, 9), batch, maps)
  batch = warp_batch({**batch, "image": image - fill}, maps)
  return {**batch, "image": batch["image"] + fill}


def _each(function: Callable) -> Callable:
  """Returns an operation on a batch that applies a function (key, images, value) to its images."""
  return lambda key, batch, value: {**batch, "image": function(key, batch["image"], value)}


def _drawn(key, images, value):
  count, magnitude = value
  return rand_augment(key, images, int(count), magnitude)


class Operation(NamedTuple):
  """One augmentation.

  Attributes:
    apply: (key, batch, value) -> batch; for mixing (key, batch, value, classes).
    floats: whether it needs the images as floats.
  """

  apply: Callable
  floats: bool = True


# In the order in which they are applied. The index of an operation determines its random key, so a
# new one comes last: then earlier runs keep their keys.
OPERATIONS = {
  "flip": Operation(partial(_flip, axis=1), False),
  "shift": Operation(_shift, False),
  "flip_vertical": Operation(partial(_flip, axis=0), False),
  "affine": Operation(_affine),  # all requested operations of AFFINE as one map, sampled once
  "rand_augment": Operation(_each(_drawn)),
  "brightness": Operation(_each(colour.brightness)),
  "contrast": Operation(_each(colour.contrast)),
  "saturation": Operation(_each(colour.saturation)),
  "hue": Operation(_each(colour.hue)),
  "pca": Operation(_each(colour.pca)),
  "grey": Operation(_each(colour.fade)),
  "blur": Operation(_each(colour.blur)),
  "noise": Operation(_each(colour.noise)),
  "cut_out": Operation(_each(mix.cut_out), False),
  "mixup": Operation(mix.mixup),
  "cutmix": Operation(mix.cutmix, False),
  "alternate_flip": Operation(_alternate, False),
  "reflect_shift": Operation(_each(partial(random_shift, mode="reflect")), False),
}
AFFINE = ("crop", "rotate", "scale", "shear", "translate", "zoom_out", "ssd_crop")
MIXES = ("mixup", "cutmix")  # they need the number of classes
STILL = ("rand_augment", *MIXES, "reflect_shift")  # they do not move boxes and masks
KINDS = {  # the types of their values
  name: type(KEYS[f"augment.{name}"].default)
  for name in (*AFFINE, *(name for name in OPERATIONS if name != "affine"))
}


def augment(key: jax.Array, batch: Batch, *, classes: int = 0, **options: Any) -> Batch:
  """Returns the batch changed by the operations that `options` name, with their strengths.

  Args:
    key: of the random draws, which differ from image to image.
    batch: with `image` [B, H, W, C] or a volume [B, D, H, W, C], from 0 to 255; `segments`,
      `instances`, `ids`, `boxes` and `proposals` move with their pixels; mixing writes `target`
      [B, classes].
    classes: number of classes, for mixing.
    options: by the names of `KINDS`; an operation with 0, False or () is not applied.

  Images keep their type: they are floats between operations, and are rounded and clipped to 0..255
  once, at the end.

  Raises: UserError for an operation that would move pixels but not their boxes or masks.
  """
  dtype, floats = batch["image"].dtype, False
  affine = {name: options[name] for name in AFFINE if options.get(name)}
  for place, (name, operation) in enumerate(OPERATIONS.items()):
    value = affine if name == "affine" else options.get(name)
    if not value:
      continue
    if name in STILL and {"boxes", *MASKS} & batch.keys():
      raise UserError(
        f"augment.{name} does not move boxes and masks as it moves pixels; leave it out, or take "
        f"flip, flip_vertical, shift, {', '.join(AFFINE)}"
      )
    of_its_own = key if name == "shift" else jax.random.fold_in(key, 2 + place)
    if operation.floats:
      floats = True
      batch = {**batch, "image": batch["image"].astype(jnp.float32)}
    more = (classes,) if name in MIXES else ()
    batch = operation.apply(of_its_own, batch, value, *more)
  image = batch["image"]
  if floats:
    image = jnp.clip(image, 0, 255)
    image = (image if jnp.issubdtype(dtype, jnp.floating) else jnp.round(image)).astype(dtype)
  return {**batch, "image": image}


def check(options: Mapping[str, Any]) -> None:
  """Raises: UserError for an unknown operation, a wrong strength, or two ways to mirror."""
  for name, value in options.items():
    if name not in KINDS:
      raise unknown("config key", f"augment.{name}", [f"augment.{n}" for n in KINDS])
    wanted, fits = WANTED[KINDS[name]], fits_kind(value, KINDS[name])
    if name == "rand_augment":
      wanted = PAIR
    elif name == "zoom_out":
      wanted, fits = "a number of at least 1, or 0", fits and not 0 < value < 1
    elif fits and KINDS[name] is tuple:
      fits = list(value) == sorted(value)
    if not fits:
      raise UserError(f"augment.{name} must be {wanted}; found {value!r}")
  if options.get("flip") and options.get("alternate_flip"):
    raise UserError("augment.flip and augment.alternate_flip both mirror the images; take one")


PAIR = "(operations, magnitude of 10), both above 0, or ()"
WANTED = {
  bool: "True or False",
  int: "a whole number of at least 0",
  float: "a number of at least 0",
  tuple: "(least, largest), both above 0, or ()",
}


def fits_kind(value: Any, kind: type) -> bool:
  """Returns whether a value is a strength of this type, as `WANTED` says it in words."""
  if kind is tuple:
    whole = isinstance(value, tuple | list) and len(value) in (0, 2)
    return whole and all(fits_kind(v, float) and v > 0 for v in value)
  if kind is bool or isinstance(value, bool):
    return kind is bool and isinstance(value, bool)
  return isinstance(value, int if kind is int else int | float) and 0 <= value < math.inf
