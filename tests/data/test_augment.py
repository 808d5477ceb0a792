"""Random shifts, found again by trying all, and mirrors."""

import itertools
from functools import partial

import jax
import numpy as np
import pytest

from cnnjax.data.augment import KINDS, OPERATIONS, augment, check, random_shift
from cnnjax.errors import UserError

IMAGES = np.random.default_rng(0).integers(1, 256, (64, 6, 5, 2), dtype=np.uint8)
shift_by = jax.jit(random_shift, static_argnums=2)


def augmented(seed, batch, **options):
  """Returns the batch after `augment`, as one program."""
  return jax.jit(partial(augment, **options))(jax.random.key(seed), batch)


def moved(image, down, right):
  """Returns an image moved by whole pixels, zeros coming in."""
  height, width = image.shape[:2]
  margin = max(abs(down), abs(right))
  padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)))
  return padded[margin - down :, margin - right :][:height, :width]


def find(image, result, most):
  """Returns the only shift of at most so many pixels that makes the result."""
  steps = range(-most, most + 1)
  (found,) = [s for s in itertools.product(steps, steps) if (moved(image, *s) == result).all()]
  return found


@pytest.mark.parametrize("pixels", [1, 2])
def test_each_image_is_moved_by_at_most_so_many_pixels(pixels):
  results = np.asarray(shift_by(jax.random.key(0), IMAGES, pixels))
  assert results.shape == IMAGES.shape
  shifts = [find(image, result, pixels) for image, result in zip(IMAGES, results)]
  for axis in zip(*shifts):
    assert set(axis) == set(range(-pixels, pixels + 1))
  assert len(set(shifts)) > 2 * pixels + 1
  assert any(down != right for down, right in shifts)


def test_the_key_decides():
  results = [np.asarray(shift_by(jax.random.key(k), IMAGES, 2)) for k in (0, 0, 1)]
  np.testing.assert_array_equal(results[0], results[1])
  assert (results[0] != results[2]).any()


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16"])
def test_the_dtype_stays(dtype):
  images = jax.ShapeDtypeStruct((3, 4, 5, 1), dtype)
  result = jax.eval_shape(partial(random_shift, pixels=2), jax.random.key(0), images)
  assert result.dtype == images.dtype and result.shape == images.shape


mirrored_by = jax.jit(partial(augment, flip=True))


def mirror(seed, images):
  return np.asarray(mirrored_by(jax.random.key(seed), {"image": images})["image"])


def test_about_half_are_mirrored_and_twice_is_identity():
  images = np.tile(IMAGES, (16, 1, 1, 1))
  once = mirror(0, images)
  mirrored = (once == images[:, :, ::-1]).all((1, 2, 3))
  assert ((once == images).all((1, 2, 3)) == ~mirrored).all()
  assert abs(mirrored.mean() - 0.5) < 0.05 and once.dtype == images.dtype
  np.testing.assert_array_equal(mirror(0, once), images)
  assert (mirror(1, images) != once).any()


def test_mirrors_do_not_depend_on_shifts():
  ramp = np.tile(np.arange(1, 9, dtype=np.uint8)[:, None], (4096, 8, 1, 1))
  images = ramp + 10 * np.arange(8, dtype=np.uint8)[:, None, None]  # a gradient in both directions
  result = np.asarray(augmented(3, {"image": images}, shift=1, flip=True)["image"])[..., 0]
  middle = result[:, 4, 4].astype(int)
  mirrored = result[:, 4, 5] < result[:, 4, 3]
  down = 4 - middle // 10
  assert set(down) == {-1, 0, 1}
  for step in (-1, 0, 1):
    assert abs(mirrored[down == step].mean() - 0.5) < 0.05


def test_augment_moves_images_only_and_only_when_asked():
  batch = {"image": IMAGES, "label": np.arange(64), "mask": np.ones(64)}
  assert augment(jax.random.key(0), batch)["image"] is IMAGES
  found = augment(jax.random.key(0), batch, shift=2)
  np.testing.assert_array_equal(found["image"], shift_by(jax.random.key(0), IMAGES, 2))
  assert found["label"] is batch["label"] and batch["image"] is IMAGES


def test_what_has_turned_is_mirrored_with_its_boxes():
  turned = np.arange(64) % 3 == 0
  boxes = np.tile(np.float32([1, 2, 4, 5]), (64, 1, 1))
  batch = {"image": IMAGES, "boxes": boxes, "turned": turned}
  found = jax.tree.map(np.asarray, augmented(0, batch, alternate_flip=True))
  want = np.where(turned[:, None, None, None], IMAGES[:, :, ::-1], IMAGES)
  np.testing.assert_array_equal(found["image"], want)
  assert np.unique(found["boxes"][turned], axis=0).tolist() == [[[1, 2, 4, 5]]]  # 5 wide: 5-4, 5-1
  np.testing.assert_array_equal(found["boxes"][~turned], boxes[~turned])
  with pytest.raises(UserError, match="alternate_flip needs a column `turned`"):
    augment(jax.random.key(0), {"image": IMAGES}, alternate_flip=True)


def test_a_shift_by_reflection_brings_in_the_image():
  found = np.asarray(augmented(0, {"image": IMAGES}, reflect_shift=2)["image"])
  wide = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect")
  seen = set()
  for image, large in zip(found, wide):
    cuts = itertools.product(range(5), range(5))
    places = [(i, j) for i, j in cuts if (large[i : i + 6, j : j + 5] == image).all()]
    assert places
    seen.add(places[0])
  assert len(seen) > 12
  volume = np.repeat(IMAGES[:, None], 3, 1)
  moved = augmented(0, {"image": volume}, reflect_shift=2)["image"]
  np.testing.assert_array_equal(moved, np.repeat(found[:, None], 3, 1))


def test_a_new_operation_leaves_the_keys_of_the_others():
  """A run begun before goes on with the same draws: 2 + its place in the table."""
  first = "flip shift flip_vertical affine rand_augment brightness contrast saturation hue pca grey"
  assert list(OPERATIONS)[:14] == [*first.split(), "blur", "noise", "cut_out"]


ALL = dict(
  flip=True,
  shift=1,
  flip_vertical=True,
  crop=(0.5, 1.0),
  rotate=20.0,
  scale=(0.8, 1.2),
  shear=10.0,
  translate=0.1,
  zoom_out=2.0,
  ssd_crop=True,
  rand_augment=(2, 7),
  brightness=0.3,
  contrast=0.3,
  saturation=0.3,
  hue=0.1,
  pca=0.1,
  grey=0.2,
  blur=1.0,
  noise=0.05,
  cut_out=2,
  mixup=0.2,
  cutmix=1.0,
  alternate_flip=True,
  reflect_shift=2,
)
COLOURED = np.random.default_rng(1).integers(0, 256, (8, 6, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_all_at_once_keep_type_shape_and_range(dtype):
  assert ALL.keys() == KINDS.keys()
  batch = {"image": COLOURED.astype(dtype), "label": np.arange(8) % 3, "turned": np.arange(8) < 3}
  quick = {"xla_backend_optimization_level": 0}  # LLVM's optimiser takes most of the time
  run = jax.jit(partial(augment, classes=3, **ALL), compiler_options=quick)
  found, again = run(jax.random.key(0), batch), run(jax.random.key(0), batch)
  other = run(jax.random.key(1), batch)["image"]
  assert found["image"].dtype == dtype and found["image"].shape == COLOURED.shape
  assert found["image"].min() >= 0 and found["image"].max() <= 255
  np.testing.assert_array_equal(found["image"], again["image"])
  assert (found["image"] != other).any() and found["target"].shape == (8, 3)


def test_what_is_off_changes_nothing():
  off = {name: kind() for name, kind in KINDS.items()}
  batch = {"image": COLOURED}
  assert augment(jax.random.key(0), batch, **off)["image"] is COLOURED


def test_volumes_are_augmented_alike():
  volume = np.repeat(COLOURED[:, None], 4, axis=1)
  options = {k: ALL[k] for k in ("flip", "flip_vertical", "shift", "rotate", "contrast", "blur")}
  found = np.asarray(augmented(0, {"image": volume}, **options)["image"])
  assert found.shape == volume.shape and found.dtype == np.uint8
  assert (found == found[:, :1]).all() and (found != volume).any()


@pytest.mark.parametrize(
  "options",
  [{"rand_augment": (2, 9)}, {"mixup": 0.5}, {"cutmix": 0.5, "classes": 3}, {"reflect_shift": 2}],
)
@pytest.mark.parametrize("column", ["boxes", "segments"])
def test_what_would_leave_boxes_behind_is_refused(options, column):
  batch = {"image": np.zeros((2, 8, 8, 1), np.uint8), column: np.zeros((2, 8, 4)), "label": [0, 1]}
  with pytest.raises(UserError, match=f"augment.{next(iter(options))} does not move boxes"):
    augment(jax.random.key(0), batch, **options)


@pytest.mark.parametrize("name", ["flip", "flip_vertical", "shift"])
def test_boxes_move_with_their_pixels(name):
  image = np.zeros((32, 10, 12, 1), np.uint8)
  image[:, 2:5, 2:8] = 200
  boxes = np.tile(np.float32([2, 2, 8, 5]), (32, 1, 1))
  batch = {
    "image": image,
    "boxes": boxes,
    "valid": np.ones((32, 1), bool),
    "segments": image[..., 0],
    "ids": image[..., 0].astype(np.uint16),
  }
  found = jax.tree.map(np.asarray, augmented(0, batch, **{name: 2}))
  inside = found["segments"] != 255  # void where a shift brings pixels in
  np.testing.assert_array_equal(found["segments"][inside], found["image"][..., 0][inside])
  assert inside.all() == (name != "shift") and not found["image"][~inside].any()
  np.testing.assert_array_equal(found["ids"], found["image"][..., 0])
  places = set()
  for segment, box in zip(found["segments"], found["boxes"]):
    rows, columns = np.nonzero(segment == 200)
    seen = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    np.testing.assert_allclose(box[0], seen, atol=1e-4)
    places.add(seen)
  assert len(places) > 1


@pytest.mark.parametrize(
  ("options", "sentence"),
  [
    ({"flipp": True}, "unknown config key 'augment.flipp'; did you mean augment.flip"),
    ({"flip": 1}, "augment.flip must be True or False; found 1"),
    ({"shift": 1.5}, "augment.shift must be a whole number of at least 0; found 1.5"),
    ({"rotate": float("nan")}, "augment.rotate must be a number of at least 0; found nan"),
    ({"scale": 1.2}, r"augment.scale must be \(least, largest\), both above 0"),
    ({"zoom_out": 0.5}, "augment.zoom_out must be a number of at least 1, or 0; found 0.5"),
    ({"alternate_flip": 2}, "augment.alternate_flip must be True or False; found 2"),
    ({"reflect_shift": -1}, "augment.reflect_shift must be a whole number of at least 0; found -1"),
    ({"ssd_crop": 4}, "augment.ssd_crop must be True or False; found 4"),
    ({"crop": (0.5, 0.1)}, r"augment.crop must be \(least, largest\)"),
    ({"flip": True, "alternate_flip": True}, "augment.flip and augment.alternate_flip both mirror"),
  ],
)
def test_strengths_that_are_none(options, sentence):
  with pytest.raises(UserError, match=sentence):
    check(options)
