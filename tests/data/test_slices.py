"""Folders of slices as images: their order, their values, and what is no volume."""

import numpy as np
import pytest
from PIL import Image

from cnnjax.data import scan
from cnnjax.errors import UserError

VOXELS = np.random.default_rng(0).integers(0, 2**16, (11, 4, 5)).astype(np.uint16)


def write(folder, voxels, name="slice{}.png", start=0):
  folder.mkdir()
  for number, plane in enumerate(voxels, start):
    Image.fromarray(plane).save(folder / name.format(number))
  return folder


@pytest.mark.parametrize(
  "kind, suffix", [("u1", "png"), ("u2", "png"), ("u2", "tif"), ("u1", "bmp")]
)
def test_a_folder_of_slices_is_a_volume(tmp_path, kind, suffix):
  voxels = VOXELS.astype(kind)
  folder = write(tmp_path / "volume", voxels, f"s{{}}.{suffix}", start=8)  # s9 before s10
  found = scan.read(folder)
  assert scan.is_scan(folder) and scan.head(folder) == (found.shape, (1, 1, 1))
  assert found.dtype == voxels.dtype and np.array_equal(found, voxels)
  like = scan.read(folder, spacing=(3, 2, 1))
  assert scan.head(folder, spacing=(3, 2, 1))[1] == like.spacing == (3, 2, 1)
  segments = (voxels % 3).astype(np.uint8)
  scan.write(segments, like, tmp_path / "map.nii")
  again = scan.read(tmp_path / "map.nii")
  assert np.array_equal(again, segments) and again.spacing == (3, 2, 1)


def test_grey_that_is_saved_as_colour_and_two_levels(tmp_path):
  grey = VOXELS.astype(np.uint8)
  rgb = np.repeat(grey[..., None], 3, -1)
  opaque = np.concatenate([rgb, np.full_like(grey, 255)[..., None]], -1)
  assert np.array_equal(scan.read(write(tmp_path / "rgb", rgb)), grey)
  assert np.array_equal(scan.read(write(tmp_path / "rgba", opaque)), grey)
  assert np.array_equal(scan.read(write(tmp_path / "bits", grey > 99)), grey > 99)


def test_what_slices_can_have_wrong(tmp_path):
  grey = VOXELS.astype(np.uint8)
  colour = np.repeat(grey[..., None], 3, -1)
  colour[3, 0, 0] = (1, 2, 3)
  mixed = [*grey[:2], *VOXELS[2:3]]
  for name, voxels, sentence in (
    ("colour", colour, "slice3.png holds colours"),
    (
      "sizes",
      [*grey[:2], grey[2, 1:]],
      "slice2.png is 3x5 pixels, the first slice of its volume 4x5",
    ),
    ("depths", mixed, "slice2.png holds uint16, the first slice of its volume uint8"),
    ("series", grey, r"is one volume; expected a series"),
  ):
    with pytest.raises(UserError, match=sentence):
      scan.read(write(tmp_path / name, voxels), series=name == "series")
  gap = write(tmp_path / "gap", grey)
  (gap / "slice4.png").unlink()
  with pytest.raises(UserError, match="after slice3.png comes slice5.png, where numbers grow by 1"):
    scan.read(gap)
  named = write(tmp_path / "named", grey[:1], "a{}b.png")
  with pytest.raises(UserError, match="a0b.png has no number at the end of its name"):
    scan.read(named)
  twice = write(tmp_path / "twice", grey[:2])
  (twice / "slice1.png").rename(twice / "slice00.png")
  with pytest.raises(UserError, match="no whole volume"):
    scan.read(twice)
  with pytest.raises(UserError, match=r"three positive numbers; found \(0.0, 1.0, 1.0\)"):
    scan.read(write(tmp_path / "flat", grey[:2]), spacing=(0, 1, 1))
