"""Volumes are moved, mirrored and changed as SciPy and NumPy would, each example by itself."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from cnnjax import keys
from cnnjax.data import augment as of_images
from cnnjax.data import augment_volume as module
from cnnjax.data import warp_volume
from cnnjax.data.augment_volume import AFFINE, KINDS, OPERATIONS, augment, check
from cnnjax.data.field import SPACING, along, coarse, gaussian
from cnnjax.errors import UserError
from cnnjax.ops.segmentation import VOID

RNG = np.random.default_rng(0)
SIZE = (20, 14, 12)  # more planes than are sampled at once, but not twice as many
VOLUMES = RNG.normal(size=(3, *SIZE, 2)).astype(np.float32)
SEGMENTS = RNG.integers(0, 4, (3, *SIZE)).astype(np.uint8)
STILL = np.tile(np.eye(3, 4, dtype=np.float32), (3, 1, 1))
ALL = dict(
  flip=True,
  flip_vertical=True,
  flip_depth=True,
  rotate=30.0,
  scale=(0.7, 1.4),
  shear=10.0,
  translate=0.2,
  elastic=4.0,
  bias_field=0.5,
  noise=0.1,
  blur=1.0,
  brightness=0.25,
  contrast=0.25,
  low_resolution=(0.5, 0.8),
  gamma=0.4,
)
RIGID = {name: ALL[name] for name in AFFINE if name != "elastic"}
warp = jax.jit(warp_volume.warp)


def maps_of(seed, count, **ranges):
  """Returns random maps as one program draws them."""
  draw = partial(warp_volume.random_maps, count=count, size=SIZE, **ranges)
  return np.asarray(jax.jit(draw)(jax.random.key(seed)))


def bends_of(seed, count, deviation, probability=1.0):
  draw = jax.jit(lambda key: warp_volume.random_bends(key, count, SIZE, deviation, probability))
  return np.asarray(draw(jax.random.key(seed)))


def run(function, *arguments):
  """Returns (key, volumes, strength) -> volumes after a change of values, as one program."""
  *arrays, strength = arguments
  change = jax.jit(lambda *arrays: function(jax.random.key(0), *arrays, strength))
  return np.asarray(change(*arrays), np.float64)


@pytest.mark.parametrize(("name", "axis"), [("flip", 3), ("flip_vertical", 2), ("flip_depth", 1)])
def test_half_are_mirrored_and_twice_is_identity(name, axis):
  batch = {
    "volume": np.tile(VOLUMES, (20, 1, 1, 1, 1)),
    "segments": np.tile(SEGMENTS, (20, 1, 1, 1)),
  }
  mirror = jax.jit(partial(augment, **{name: True}))
  once = mirror(jax.random.key(0), batch)
  turned = np.asarray(once["segments"] != batch["segments"]).any((1, 2, 3))
  assert abs(turned.mean() - 0.5) < 0.2
  for column, old in batch.items():
    want = np.where(turned.reshape(-1, *(1,) * (old.ndim - 1)), np.flip(old, axis), old)
    np.testing.assert_array_equal(once[column], want)
  jax.tree.map(np.testing.assert_array_equal, mirror(jax.random.key(0), once), batch)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_quarter_turn_about_an_axis(axis):
  cube, labels = VOLUMES[:, :12, :12], SEGMENTS[:, :12, :12]
  i, j = (other for other in range(3) if other != axis)
  linear = np.zeros((3, 3), np.float32)
  linear[axis, axis], linear[i, j], linear[j, i] = 1, -1, 1
  offset = 5.5 - linear @ np.full(3, 5.5, np.float32)
  maps = np.tile(np.c_[linear, offset], (3, 1, 1))
  for found, old in zip(warp(cube, maps, None, labels), (cube, labels)):
    np.testing.assert_array_equal(found, np.rot90(old, -1, axes=(1 + i, 1 + j)))


def test_as_scipy_samples():
  maps = maps_of(1, 3, **RIGID)
  found, labels = warp(VOLUMES, maps, None, SEGMENTS)
  how = dict(mode="grid-constant")
  for n, by in enumerate(maps.astype(np.float64)):
    for channel in range(2):
      image = VOLUMES[n, ..., channel]
      want = ndimage.affine_transform(image, by[:, :3], by[:, 3], order=1, **how)
      np.testing.assert_allclose(found[n, ..., channel], want, atol=1e-4)
    label = SEGMENTS[n].astype(np.int32)
    want = ndimage.affine_transform(label, by[:, :3], by[:, 3], order=0, cval=VOID, **how)
    assert (labels[n] != want).mean() < 1e-3  # a place may round to either of two voxels


def test_bends_are_cubic_splines():
  bends = bends_of(2, 3, 4.0)
  found = warp(VOLUMES, STILL, bends)[0]
  grid = np.indices(SIZE)
  for volume, points, one in zip(VOLUMES, np.moveaxis(bends, -1, 1), np.asarray(found)):
    at = grid / SPACING + 1  # the first control point lies before the first voxel
    moved = [ndimage.map_coordinates(p, at, order=3, prefilter=False) for p in points]
    want = ndimage.map_coordinates(volume[..., 0], grid + moved, order=1, mode="grid-constant")
    np.testing.assert_allclose(one[..., 0], want, atol=2e-4)
  assert 3 < bends_of(3, 200, 4.0).std() < 5


def test_the_ranges_are_kept():
  turns = maps_of(4, 500, rotate=30.0)[:, :, :3]
  angles = Rotation.from_matrix(turns).as_euler("xyz", degrees=True)
  assert (np.abs(angles).max(0) < 30.01).all() and (angles.min(0) < -29).all()
  np.testing.assert_allclose(np.corrcoef(angles.T), np.eye(3), atol=0.2)
  np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-5)
  sizes = 1 / np.cbrt(np.linalg.det(maps_of(5, 500, scale=(0.7, 1.4))[:, :, :3]))
  assert 0.699 < sizes.min() < 0.72 and 1.37 < sizes.max() < 1.401
  leans = maps_of(6, 500, shear=10.0)[:, :, :3] - np.eye(3)
  np.testing.assert_array_equal(leans, np.tril(leans, -1))
  assert 9.5 < np.degrees(np.arctan(leans)).max() < 10.001
  moves = maps_of(7, 500, translate=0.2)[:, :, 3] / SIZE
  assert (np.abs(moves).max(0) < 0.2001).all() and (moves.min(0) < -0.19).all()
  centre = (np.asarray(SIZE) - 1) / 2
  still = maps_of(8, 50, rotate=30.0, scale=(0.7, 1.4), shear=10.0) @ [*centre, 1]
  np.testing.assert_allclose(still, np.tile(centre, (50, 1)), atol=1e-4)


def test_what_is_off_or_not_drawn_changes_no_bit():
  batch = {"volume": VOLUMES, "segments": SEGMENTS}
  assert augment(jax.random.key(0), batch)["volume"] is VOLUMES
  off = {name: kind() for name, kind in KINDS.items()}
  assert augment(jax.random.key(0), batch, **off, classes=4)["segments"] is SEGMENTS
  found = warp(VOLUMES, maps_of(0, 3, **RIGID, probability=0.0), bends_of(0, 3, 4.0, 0.0), SEGMENTS)
  np.testing.assert_array_equal(found[0], VOLUMES)
  np.testing.assert_array_equal(found[1], SEGMENTS)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_classes_move_with_their_voxels(axis):
  """A class that says where its voxel was is the value there, rounded."""
  labels = np.tile(np.indices(SIZE)[axis].astype(np.uint8), (8, 1, 1, 1))
  volumes = np.stack([labels, np.ones_like(labels)], -1).astype(np.float32)
  found, moved = warp(volumes, maps_of(9, 8, **RIGID), bends_of(9, 8, 2.0), labels)
  value, inside = np.moveaxis(np.asarray(found), -1, 0)
  whole = inside > 0.9999
  assert whole.mean() > 0.3 and moved.dtype == np.uint8
  assert np.abs(value - moved)[whole].max() < 0.501
  void = np.asarray(moved) == VOID
  assert void.any() and inside[void].max() < 0.501 and inside[~void].min() > 0.12


def test_what_comes_from_outside_is_zero_and_void():
  step = STILL + np.eye(3, dtype=np.float32)[1][:, None] * np.float32([0, 0, 0, 2])
  found, labels = warp(VOLUMES, step, None, SEGMENTS)  # looks two rows further down
  np.testing.assert_array_equal(found[:, :, :-2], VOLUMES[:, :, 2:])
  np.testing.assert_array_equal(labels[:, :, :-2], SEGMENTS[:, :, 2:])
  assert not np.asarray(found[:, :, -2:]).any() and (np.asarray(labels[:, :, -2:]) == VOID).all()


def test_a_blur_is_scipys():
  sigma = np.float32([0.5, 0.8, 1.0])
  blur = jax.jit(lambda v, s: along(v, [gaussian(s, n, 3) for n in SIZE]))
  for volume, one, deviation in zip(VOLUMES, blur(VOLUMES, sigma), sigma):
    for channel in range(2):
      want = ndimage.gaussian_filter(volume[..., channel], deviation, mode="nearest", radius=3)
      np.testing.assert_allclose(one[..., channel], want, atol=1e-5)


def test_coarse_voxels_are_taken_and_left_by_lines():
  part = np.float32([0.5, 0.61, 1.0])
  found = jax.jit(lambda v, p: along(v, [coarse(p, n) for n in SIZE]))(VOLUMES, part)
  for volume, one, factor in zip(VOLUMES, found, part):
    small = (*(round(n * float(factor)) for n in SIZE), 2)
    want = jax.image.resize(jax.image.resize(volume, small, "nearest"), volume.shape, "linear")
    np.testing.assert_allclose(one, want, atol=1e-5)


def test_gamma_is_a_power_that_keeps_mean_and_deviation():
  found, space = run(module.gamma, VOLUMES, 0.4), (1, 2, 3)
  np.testing.assert_allclose(found.mean(space), VOLUMES.mean(space), atol=1e-5)
  np.testing.assert_allclose(found.std(space), VOLUMES.std(space), rtol=1e-4)
  old, new = (np.moveaxis(v, -1, 1).reshape(6, -1) for v in (VOLUMES, found))
  part = lambda v: (v - v.min(1)[:, None]) / np.ptp(v, 1)[:, None]  # noqa: E731
  inner = (part(old) > 0.1) & (part(old) < 0.9)
  for one, by, which in zip(part(old), part(new), inner):
    power = np.log(by[which]) / np.log(one[which])
    np.testing.assert_allclose(power, power[0], rtol=2e-3)
    assert np.exp(-0.4) < power[0] < np.exp(0.4) and abs(power[0] - 1) > 1e-3
  np.testing.assert_allclose(run(module.gamma, VOLUMES, 0.0), VOLUMES, atol=1e-5)
  assert not run(module.gamma, np.zeros_like(VOLUMES), 0.4).any()


def test_a_bias_field_is_a_polynomial_of_third_degree():
  found = run(module.bias_field, VOLUMES, 0.5)
  at = np.indices(SIZE).reshape(3, -1)
  orders = [o for o in np.ndindex(4, 4, 4) if sum(o) <= 3]
  table = np.stack([np.prod((at / 20) ** np.asarray(o)[:, None], 0) for o in orders], 1)
  for old, new in zip(VOLUMES[..., 0].reshape(3, -1), found[..., 0].reshape(3, -1)):
    least = old.argmin()  # it is 0 before and after, but for what restores the mean
    some = old > old[least] + 0.5
    field = np.log((new - new[least])[some] / (old - old[least])[some])
    rest = field - table[some] @ np.linalg.lstsq(table[some], field)[0]
    assert np.abs(rest).max() < 1e-4 and field.std() > 0.05
  np.testing.assert_allclose(found.mean((1, 2, 3)), VOLUMES.mean((1, 2, 3)), atol=1e-5)


def test_brightness_contrast_and_noise_stay_in_their_range():
  space = dict(axis=(1, 2, 3), keepdims=True)
  ratio = run(module.brightness, VOLUMES, 0.25) / VOLUMES
  np.testing.assert_allclose(ratio, ratio[:, :1, :1, :1].repeat(20, 1) + 0 * ratio, rtol=1e-4)
  assert 0.75 < ratio.min() and ratio.max() < 1.25 and ratio.std() > 0.01
  found, mean = run(module.contrast, VOLUMES, 0.25), VOLUMES.mean(**space)
  least, most = VOLUMES.min(**space), VOLUMES.max(**space)
  assert (found >= least).all() and (found <= most).all()
  free = (np.abs(VOLUMES - mean) > 0.1) & (found > least) & (found < most)
  ratio = (found - mean) / (VOLUMES - mean)
  assert 0.749 < ratio[free].min() and ratio[free].max() < 1.251
  assert all(np.ptp(ratio[n, ..., c][free[n, ..., c]]) < 1e-3 for n in range(3) for c in range(2))
  added = run(module.noise, np.zeros((50, 10, 10, 10, 1), np.float32), 0.1).std((1, 2, 3, 4))
  assert added.max() < 0.105 and added.min() < 0.01 and 0.04 < added.mean() < 0.06


SHARES = dict.fromkeys(KINDS, 0.2) | dict(
  flip=0.5,
  flip_vertical=0.5,
  flip_depth=0.5,
  bias_field=0.15,
  noise=0.1,
  blur=0.1,
  brightness=0.15,
  contrast=0.15,
  low_resolution=0.125,
  gamma=0.3,
)


@pytest.mark.parametrize("name", KINDS)
def test_a_part_of_the_examples_is_changed(name):
  volumes = RNG.normal(size=(800, 4, 4, 4, 1)).astype(np.float32)
  change = jax.jit(partial(augment, **{name: ALL[name]}))
  found = np.asarray(change(jax.random.key(1), {"volume": volumes})["volume"])
  share = (found != volumes).any((1, 2, 3, 4)).mean()
  assert abs(share - SHARES[name]) < 4 * np.sqrt(SHARES[name] * (1 - SHARES[name]) / 800)


def test_all_at_once_and_each_by_itself():
  assert ALL.keys() == KINDS.keys()
  change = jax.jit(partial(augment, **ALL))
  changed = lambda seed, batch: jax.tree.map(np.asarray, change(jax.random.key(seed), batch))  # noqa: E731
  batch = {"volume": VOLUMES, "segments": SEGMENTS, "label": np.arange(3)}
  found, again = changed(0, batch), changed(0, batch)
  jax.tree.map(np.testing.assert_array_equal, found, again)
  assert (changed(1, batch)["volume"] != found["volume"]).any()
  assert np.isfinite(found["volume"]).all() and found["segments"].dtype == np.uint8
  for n in range(3):
    other = {name: column.copy() for name, column in batch.items()}
    other["volume"][n], other["segments"][n] = 5 * VOLUMES[n] + 1, 0
    beside = changed(0, other)
    rest = [m for m in range(3) if m != n]
    for name in ("volume", "segments"):
      np.testing.assert_array_equal(beside[name][rest], found[name][rest])
    assert (beside["volume"][n] != found["volume"][n]).any()


def test_the_dtype_stays():
  batch = {
    "volume": jax.ShapeDtypeStruct((2, 5, 18, 7, 3), "bfloat16"),
    "segments": jax.ShapeDtypeStruct((2, 5, 18, 7), "uint8"),
  }
  assert jax.eval_shape(partial(augment, **ALL), jax.random.key(0), batch) == batch


def test_a_new_operation_leaves_the_keys_of_the_others():
  """A run begun before goes on with the same draws: 2 + its place in the table."""
  first = "flip flip_vertical flip_depth affine bias_field noise blur brightness contrast"
  assert list(OPERATIONS)[:11] == [*first.split(), "low_resolution", "gamma"]


def test_each_kind_has_its_own_keys():
  named = lambda kind: {  # noqa: E731
    name.removeprefix("augment.") for name in keys.of("", kind) if name.startswith("augment.")
  }
  assert named("volume") == set(KINDS) and named("image") == set(of_images.KINDS)
  for kind, name in (("volume", "hue"), ("image", "gamma"), ("clip", "flip_depth")):
    tree = keys.fill({"data": {"input": kind}, "augment": {name: 0.1}})
    with pytest.raises(UserError, match=f"augment.{name} is a key of .* alone"):
      keys.check(tree)


@pytest.mark.parametrize(
  ("options", "sentence"),
  [
    ({"hue": 0.1}, "unknown config key 'augment.hue'"),
    ({"flip_depht": True}, "unknown config key 'augment.flip_depht'; did you mean augment.flip_d"),
    ({"flip_depth": 1}, "augment.flip_depth must be True or False; found 1"),
    ({"elastic": -1.0}, "augment.elastic must be a number of at least 0; found -1.0"),
    ({"gamma": float("nan")}, "augment.gamma must be a number of at least 0; found nan"),
    ({"scale": (1.4, 0.7)}, r"augment.scale must be \(least, largest\), both above 0, or \(\)"),
    ({"low_resolution": (1.0, 2.0)}, "augment.low_resolution must be .*, both above 0 and at most"),
    ({"low_resolution": 0.5}, "augment.low_resolution must be .* found 0.5"),
  ],
)
def test_strengths_that_are_none(options, sentence):
  with pytest.raises(UserError, match=sentence):
    check(options)
  check(ALL)
