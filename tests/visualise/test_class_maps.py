"""Class maps in colours, beside the truth, and as files that hold the classes."""

import numpy as np
from PIL import Image

from cnnjax.visualise import class_maps

RNG = np.random.default_rng(0)
NAMES = ("background", "cat", "dog")


def test_the_palette_is_vocs():
  colours = class_maps.palette()
  assert colours[[0, 1, 2, 3, 15, 20, 255]].tolist() == [
    [0, 0, 0],
    *([128, 0, 0], [0, 128, 0], [128, 128, 0]),
    *([192, 128, 128], [0, 64, 128], [224, 224, 192]),
  ]
  assert len({tuple(colour) for colour in colours.tolist()}) == 256


def test_a_file_holds_the_classes_in_colour(tmp_path):
  found = RNG.integers(0, 256, (9, 13)).astype(np.uint8)
  class_maps.save(found, tmp_path / "m.png")
  with Image.open(tmp_path / "m.png") as file:
    assert file.mode == "P"
    np.testing.assert_array_equal(np.asarray(file), found)
    np.testing.assert_array_equal(np.asarray(file.convert("RGB")), class_maps.palette()[found])
  assert [path.name for path in tmp_path.iterdir()] == ["m.png"]


def test_an_overlay_paints_classes_and_their_borders():
  image = np.full((20, 20, 1), 100, np.uint8)
  maps = np.zeros((20, 20), np.uint8)
  maps[5:15, 5:15] = 1
  found = class_maps.overlay(image, maps, NAMES)
  assert (found[maps == 0] == 100).all() and found[5, 9].tolist() == [128, 0, 0]
  assert found[9, 9].tolist() == [int(0.55 * 100 + 0.45 * 128), 55, 55]
  assert (class_maps.overlay(image, maps)[0, 0] == 55).all()  # a first class of another name
  wide = class_maps.with_legend(found, maps, NAMES)
  assert wide.shape[1:] == (20, 3) and len(wide) > 20
  assert (wide[20:] == [128, 0, 0]).all(-1).any()
