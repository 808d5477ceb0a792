"""Folders of images with maps of ids, read back, and what can be wrong with them."""

import numpy as np
import pytest
from PIL import Image

from cnnjax.data.masks import bounds
from cnnjax.errors import UserError
from tests.data.test_folder import load, save

SIZE = (40, 60)


def draw(path, *objects, kind=np.uint16, size=SIZE):
  """Writes a map of objects (id, x0, y0, x1, y1) and returns its path."""
  ids = np.zeros(size, kind)
  for number, x0, y0, x1, y1 in objects:
    ids[y0:y1, x0:x1] = number
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(ids).save(path)
  return path


@pytest.fixture
def folder(tmp_path):
  """Three training images and one of test; the third has no object."""
  maps = [(40_000, 0, 0, 10, 20), (7, 30, 10, 50, 30), (9, 3, 3, 5, 5)], [(1, 4, 4, 5, 5)], []
  for n, objects in enumerate(maps):
    draw(tmp_path / "train" / "instances" / f"{n}.png", *objects)
    save(tmp_path / "train" / "images" / f"{n}.{('png', 'jpg')[n % 2]}", SIZE)
  draw(tmp_path / "test" / "instances" / "a.png", (2, 0, 0, 60, 40), kind=np.uint8)
  save(tmp_path / "test" / "images" / "a.png", SIZE)
  return tmp_path


def read(folder, resize=(), **options):
  return load(folder, name="instances", resize=resize, **options)


def test_ids_are_numbered_as_the_places_are(folder):
  splits = read(folder, on_error="skip")
  assert {split: len(table) for split, table in splits.items()} == {"train": 3, "test": 1}
  train = splits["train"].columns
  assert train["ids"].shape == (3, 40, 60) and train["ids"].dtype == np.uint16
  assert train["boxes"].dtype == np.float32 and train["size"].tolist() == [[40, 60]] * 3
  assert train["boxes"][0].tolist() == [[30, 10, 50, 30], [3, 3, 5, 5], [0, 0, 10, 20]]
  assert train["valid"].tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
  assert np.unique(train["ids"][0], return_counts=True)[1].tolist() == [1800, 400, 4, 196]
  for ids, boxes, valid in zip(train["ids"], train["boxes"], train["valid"]):
    np.testing.assert_array_equal(bounds(ids), boxes[valid > 0])
  assert not train["labels"].any() and splits["test"].classes == ("object",)
  assert splits["test"].columns["boxes"].tolist() == [[[0, 0, 60, 40], [0] * 4, [0] * 4]]


def test_a_resize_moves_the_boxes_and_loses_what_is_smaller_than_a_pixel(folder, capsys):
  train = read(folder, (10, 15), kind="nucleus")["train"]
  assert train.columns["image"].shape == (3, 10, 15, 3) and train.classes == ("nucleus",)
  assert train.columns["boxes"].tolist() == [
    [[7, 2, 12, 7], [0, 0, 2, 5]],
    *[[[0] * 4] * 2] * 2,
  ]
  assert train.columns["ids"].max((1, 2)).tolist() == [2, 0, 0]
  told = capsys.readouterr().err
  assert told == (
    "left out 2 objects that the resize leaves no pixel of, the first in "
    f"{folder}/train/instances/0.png\n"
  )


def test_without_a_folder_of_it_a_test_split_is_held_out(folder):
  for path in sorted((folder / "test").rglob("*.png")):
    path.unlink()
  (folder / "test" / "images").rmdir()
  splits = read(folder, test=0.3)
  assert {split: len(table) for split, table in splits.items()} == {"train": 2, "test": 1}


def test_broken_images_leave_with_their_maps(folder, capsys):
  (folder / "train" / "images" / "0.png").write_bytes(b"no image")
  splits = read(folder, on_error="skip")
  assert splits["train"].columns["boxes"].tolist() == [[[4, 4, 5, 5]], [[0] * 4]]
  assert splits["test"].columns["valid"].tolist() == [[1]]
  assert "left out 1 of 4 images" in capsys.readouterr().err


def test_broken_maps_leave_with_their_images(folder, capsys):
  draw(folder / "train" / "instances" / "0.png", size=(60, 40))
  (folder / "train" / "instances" / "2.png").unlink()
  train = read(folder, on_error="skip")["train"]
  assert (
    train.columns["boxes"].tolist() == [[[4, 4, 5, 5]]] and train.names[0] == "train/images/1.jpg"
  )
  err = capsys.readouterr().err
  assert "left out 1 of 4 images:" in err and "has no map of its objects at" in err
  assert "left out 1 of 3 maps:" in err and "0.png is of 40x60 pixels, but " in err


def test_two_images_of_one_map_and_a_map_of_none(folder, capsys):
  save(folder / "train" / "images" / "0.jpg", SIZE)
  with pytest.raises(UserError, match="0.jpg and .*0.png have one map, .*; expected one image"):
    read(folder)
  (folder / "train" / "images" / "0.jpg").unlink()
  draw(folder / "train" / "instances" / "7.png", (1, 0, 0, 9, 9))
  assert len(read(folder)["train"]) == 3
  assert "not read below" in capsys.readouterr().err


def test_what_can_be_wrong(folder, tmp_path_factory):
  file = folder / "train" / "instances" / "0.png"

  def told(**options):
    with pytest.raises(UserError) as error:
      read(folder, **options)
    return str(error.value)

  assert "0.png has 3 boxes; set data.arguments.places to 3 or more" in told(places=2)
  assert "data.arguments.places must be a number of boxes, or 0" in told(places="2")
  assert "set data.resize to (height, width)" in told(resize=8, crop=(8, 8))
  with pytest.raises(UserError, match="is no folder; expected one with {split}/images and"):
    read(folder / "x")
  draw(file, size=(60, 40))
  assert "0.png is of 40x60 pixels, but " in told()
  save(file, SIZE)
  assert "0.png is of mode RGB; expected a number a pixel" in told()
  file.write_bytes(b"no image")
  assert "0.png is no image that Pillow can read" in told()
  file.unlink()
  assert "0.png has no map of its objects at" in told()
  file.symlink_to(draw(tmp_path_factory.mktemp("elsewhere") / "0.png"))
  assert "expected a file inside" in told()
  (folder / "train").rename(folder / "trian")
  assert "has no folder train/images" in told()
  (folder / "train" / "images").mkdir(parents=True)
  assert "train/images holds no image; expected files .png" in told()
