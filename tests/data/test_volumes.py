"""Folders of volumes beside labels: what is read, prepared and drawn, and what can be wrong."""

import json

import nibabel
import numpy as np
import pytest

from cnnjax.data import catalogue
from cnnjax.data.inputs import volume as kind
from cnnjax.data.voxels import nearest, resampled
from cnnjax.errors import UserError
from cnnjax.keys import defaults

RNG = np.random.default_rng(0)
SIZES = ((9, 12, 10), (8, 11, 13), (7, 7, 7), (10, 9, 8), (9, 9, 12))  # (depth, height, width)


def save(path, array, spacing=(1.0, 1.0, 1.0), flipped=False):
  """Writes [D, H, W] or [D, H, W, C] as NIfTI, maybe in another order of voxels."""
  path.parent.mkdir(parents=True, exist_ok=True)
  voxels = array.transpose(2, 1, 0, *range(3, array.ndim))
  affine = np.diag([*spacing[::-1], 1.0])
  if flipped:  # the same voxels at the same places
    affine[0] = [-spacing[2], 0, 0, spacing[2] * (len(voxels) - 1)]
    voxels = voxels[::-1]
  nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
  return path


def section(root, tile=(8, 8, 8), name="volumes", **options):
  """Returns a config's data section; options that are no keys of it are arguments of the source."""
  data = defaults("segmentation", "volume").data
  with data.unlocked(), data.ignore_type():
    own = {key: options.pop(key) for key in [*options] if key in data and key != "classes"}
    data.update(name=name, root=str(root), tile=tile, **own)
    data.arguments = options
  return data


def prepared(root, split="train", **options):
  data = section(root, **options)
  raw = catalogue.load(data, 0)
  with data.unlocked(), data.ignore_type():
    data.update(kind.complete(data, raw["train"]))
  return kind.prepare(raw[split], kind.preprocessing(data)), data


@pytest.fixture
def folder(tmp_path):
  """Five volumes of their own sizes, each the image of its labels; half lie otherwise in files."""
  for n, size in enumerate(SIZES):
    labels = (RNG.random(size) < 0.2).astype(np.uint8) * RNG.integers(1, 3, size, np.uint8)
    save(
      tmp_path / "imagesTr" / f"c{n}.nii.gz", (50 + 100 * labels).astype(np.int16), flipped=n > 2
    )
    save(tmp_path / "labelsTr" / f"c{n}.nii.gz", labels, flipped=n % 2 == 0)
  (tmp_path / "imagesTr" / "._c0.nii.gz").write_bytes(b"what macOS leaves in the Decathlon's files")
  names = {"0": "background", "1": "front", "2": "back"}
  (tmp_path / "dataset.json").write_text(json.dumps({"labels": names}))
  return tmp_path


def test_volumes_and_labels_are_read_as_they_lie(folder, capsys):
  splits = catalogue.load(section(folder), 0)
  told = f"volumes in {folder} are of several orientations (3 RAS, 2 LAS): all are brought to one"
  assert told in capsys.readouterr().err
  assert {split: len(table) for split, table in splits.items()} == {"train": 4, "test": 1}
  train = splits["train"]
  assert train.classes == ("background", "front", "back") and train.ragged
  for n, name in enumerate(train.names):
    volume, labels = (train.columns[key][n : n + 1][0] for key in ("volume", "segments"))
    np.testing.assert_array_equal(volume[..., 0], 50 + 100 * labels)
    assert labels.shape == SIZES[int(name[-8])] == tuple(train.columns["size"][n])


def test_windows_of_a_volume_and_its_labels_are_the_same_place(folder):
  table, _ = prepared(folder)
  volume, labels = table.columns["volume"], table.columns["segments"]
  rows = np.arange(4)
  for epoch in range(4):
    drawn = [column.drawn(rows, np.full(4, epoch)) for column in (volume, labels)]
    assert drawn[0].shape == (4, 10, 10, 10, 1) and drawn[0].dtype == np.float32
    for row, (values, classes) in enumerate(zip(*drawn)):
      whole = volume[rows[row : row + 1]][0]
      truth = labels[rows[row : row + 1]][0]
      for number in range(3):  # each class has the one value that the network sees of it
        seen = np.unique(values[classes == number])
        np.testing.assert_allclose(seen, whole[truth == number][0], rtol=1e-6)
      assert set(np.unique(values)) <= set(np.unique(whole))  # beyond the border it is mirrored
    again = labels.drawn(rows[::-1], np.full(4, epoch))[::-1]
    np.testing.assert_array_equal(again, drawn[1])
  assert (labels.drawn(rows, np.full(4, 9)) != drawn[1]).any()


@pytest.mark.parametrize("part", [0.0, 0.99])
def test_the_foreground_is_in_as_many_windows_as_is_asked(tmp_path, part):
  labels = np.zeros((40, 40, 40), np.uint8)
  labels[3, 30, 37] = 1  # a window of 8 holds it by chance once in 400
  for n in range(2):
    save(tmp_path / "imagesTr" / f"{n}.nii", labels.astype(np.float32))
    save(tmp_path / "labelsTr" / f"{n}.nii", labels)
  table, data = prepared(tmp_path, test=0.5, foreground=part)
  column, rows = table.columns["segments"], np.zeros(40, int)
  inner = column.drawn(rows, np.arange(40))[:, 1:-1, 1:-1, 1:-1]
  count = (inner == 1).any((1, 2, 3)).sum()
  assert count <= 4 if part == 0 else count >= 35
  assert data.foreground == part


def test_prepared_volumes_are_kept_in_a_folder(folder, tmp_path):
  cache = tmp_path / "kept"
  table, _ = prepared(folder, cache=str(cache))
  plain, _ = prepared(folder)
  files = sorted(cache.iterdir())
  assert len(files) == 2 * len(table)
  for key in ("volume", "segments"):
    drawn = [t.columns[key].drawn(np.arange(4), np.zeros(4, int)) for t in (table, plain)]
    np.testing.assert_array_equal(*drawn)
  stamps = [path.stat().st_mtime_ns for path in files]
  prepared(folder, cache=str(cache))
  assert [path.stat().st_mtime_ns for path in sorted(cache.iterdir())] == stamps
  prepared(folder, cache=str(cache), spacing=(2.0, 1.0, 1.0))
  assert len([*cache.iterdir()]) == 4 * len(table)


def test_spacing_is_the_median_and_a_ramp_stays_one(tmp_path):
  ramp = np.broadcast_to(np.arange(12.0)[:, None, None], (12, 8, 8)).astype(np.float32)
  for n, mm in enumerate((2.0, 2.0, 1.0, 2.0)):
    for split in ("train", "test"):
      save(tmp_path / split / "images" / f"{n}.nii", ramp, (mm, 1, 1))
      save(tmp_path / split / "labels" / f"{n}.nii", (ramp > 5).astype(np.uint8), (mm, 1, 1))
  folders = dict(images="{split}/images", segments="{split}/labels")
  table, data = prepared(tmp_path, tile=(4, 4, 4), **folders)
  assert data.spacing == (2.0, 1.0, 1.0)
  fine = list(table.columns["spacing"][:, 0]).index(1.0)
  assert table.columns["volume"][fine : fine + 1].shape == (1, 6, 8, 8, 1)
  assert table.columns["segments"][fine : fine + 1].shape == (1, 12, 8, 8)  # scored as it is read
  half = resampled(ramp[..., None], (24, 8, 8))[8:-8, 0, 0, 0]  # a voxel's centre lies at n + 1/2
  np.testing.assert_allclose(half, (np.arange(24) + 0.5)[8:-8] / 2 - 0.5, atol=2e-3)
  np.testing.assert_array_equal(nearest(np.repeat(ramp, 2, 0), (12, 8, 8)), ramp)


def test_values_are_those_of_each_volume_or_of_all_objects(folder):
  table, _ = prepared(folder)
  for n in range(len(table)):
    one = table.columns["volume"][n : n + 1]
    assert abs(one.mean()) < 1e-5 and abs(one.std() - 1) < 1e-5
  table, data = prepared(folder, normalize="all")
  assert data.clip == (150, 250)
  raw = catalogue.load(section(folder), 0)["train"].columns
  every = np.concatenate([raw["volume"][n : n + 1].ravel() for n in range(4)])
  objects = every[every > 50]
  np.testing.assert_allclose([*data.mean, *data.std], [objects.mean(), objects.std()], rtol=1e-6)
  one = table.columns["volume"][:1].ravel()
  wanted = (np.clip(raw["volume"][:1].ravel(), 150, 250) - objects.mean()) / objects.std()
  np.testing.assert_allclose(one, wanted, rtol=1e-5)


def test_channels_in_files_of_their_own_and_in_one(tmp_path):
  first, second = RNG.random((2, 6, 7, 8)).astype(np.float32)
  for n in range(2):
    save(tmp_path / "a/imagesTr" / f"x_{n}_0000.nii.gz", first)
    save(tmp_path / "a/imagesTr" / f"x_{n}_0001.nii.gz", second)
    save(tmp_path / "b/imagesTr" / f"x_{n}.nii.gz", np.stack([first, second], -1))
    for of in "ab":
      save(tmp_path / of / "labelsTr" / f"x_{n}.nii.gz", (first > 0.5).astype(np.uint8))
  for of, channels in {"a": 0, "b": 2}.items():
    data = section(tmp_path / of, test=0.5, channels=channels)
    found = catalogue.load(data, 0)["train"].columns["volume"]
    np.testing.assert_array_equal(found[:1][0], np.stack([first, second], -1))


def wrong(folder, name):
  """Puts something wrong into a folder, and returns what must be told."""
  image, labels = folder / "imagesTr/c1.nii.gz", folder / "labelsTr/c1.nii.gz"
  size = SIZES[1]
  if name == "size":
    save(labels, np.zeros((8, 11, 12), np.uint8))
    return r"c1.nii.gz has 8x11x12 voxels \(depth x height x width\), but .*c1.nii.gz has 8x11x13"
  if name == "spacing":
    save(labels, np.zeros(size, np.uint8), (1, 1, 2))
    return "c1.nii.gz does not lie where .*c1.nii.gz does: by their affines a voxel is up to 12"
  if name == "number":
    array = np.zeros(size, np.uint8)
    array[2, 3, 4] = 7
    save(labels, array)
    return "c1.nii.gz has the value 7 at depth 2, row 3, column 4, and 1 such voxels; expected 0 to"
  if name == "half":
    save(labels, np.full(size, 0.5, np.float32))
    return "c1.nii.gz has the value 0.5; expected whole numbers"
  if name == "missing":
    labels.unlink()
    return "c1.nii.gz has no labels: .*labelsTr holds 4 files, such as c0.nii.gz, and none named c1"
  if name == "damaged":
    image.write_bytes(image.read_bytes()[:200])
    return "c1.nii.gz"
  save(image, np.zeros((*size, 3), np.float32))
  return "c1.nii.gz of shape .* is a series of 3 volumes; expected one volume"


@pytest.mark.parametrize(
  "name", ["size", "spacing", "number", "half", "missing", "damaged", "series"]
)
def test_what_is_wrong_is_told_or_left_out(folder, name, capsys):
  told = wrong(folder, name)
  with pytest.raises(UserError, match=told):
    for split in ("train", "test"):  # what is in the files is read when they are prepared
      prepared(folder, split)
  splits = catalogue.load(section(folder, on_error="skip"), 0)
  assert sum(map(len, splits.values())) == 4
  assert "left out 1 of 5" in capsys.readouterr().err


def test_sizes_and_folders_that_are_none(folder):
  for options, told in {
    "images": (dict(images="scans"), "has no folder scans; found the folders imagesTr, labelsTr"),
    "tile": (dict(tile=()), "a network sees windows of volumes; set it to"),
    "two": (dict(tile=(8, 8)), r"data.tile must be \(depth, height, width\)"),
    "both": (dict(crop=(8, 8, 8)), "data.tile and data.crop both say"),
    "spacing": (dict(spacing=(1.0, 0.0, 1.0)), "data.spacing must be"),
    "channels": (dict(channels=3), "data.channels is 3, but the volumes have 1"),
  }.values():
    with pytest.raises(UserError, match=told):
      prepared(folder, **options)
