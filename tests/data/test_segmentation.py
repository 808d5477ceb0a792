"""Folders of masks of every kind, read back, and what can be wrong with them."""

import json

import numpy as np
import pytest
from PIL import Image

from cnnjax.data.segmentation import VOC
from cnnjax.errors import UserError
from tests.data.test_folder import load, save

RNG = np.random.default_rng(0)
SIZE, VOID = (12, 16), 255
COLOURS = (("road", 128, 64, 128), ("Void", 0, 0, 0), ("sky", 70, 130, 180))


def numbers(*values, size=SIZE, kind=np.uint8):
  """Returns a mask [H, W] that has each of these values."""
  flat = RNG.choice(values, size[0] * size[1])
  flat[: len(values)] = values
  return flat.reshape(size).astype(kind)


def draw(path, mask, palette=False):
  """Writes a mask and returns its path."""
  path.parent.mkdir(parents=True, exist_ok=True)
  image = Image.fromarray(mask)
  if palette:
    image = Image.frombytes("P", image.size, mask.tobytes())
    image.putpalette([*RNG.integers(0, 256, 768).tolist()])
  image.save(path)
  return path


def read(folder, name="segmentation", resize=(), **options):
  return load(folder, name=name, resize=resize, **options)


@pytest.fixture
def folder(tmp_path):
  """Four training images with masks of 0 to 2 and void, two of test; and the masks."""
  masks = {}
  for split, count in (("train", 4), ("test", 2)):
    for n in range(count):
      save(tmp_path / split / "images" / f"{n}.{('png', 'jpg')[n % 2]}", SIZE)
      masks[split, n] = numbers(0, 1, 2, VOID)
      draw(tmp_path / split / "masks" / f"{n}.png", masks[split, n], palette=n % 2 == 0)
  return tmp_path, masks


def test_numbers_and_palettes(folder):
  folder, masks = folder
  splits = read(folder)
  assert {split: len(table) for split, table in splits.items()} == {"train": 4, "test": 2}
  train = splits["train"]
  assert train.classes == ("0", "1", "2") and train.names[1] == "train/images/1.jpg"
  assert train.columns["segments"].dtype == np.uint8 and train.columns["image"].shape == (
    4,
    *SIZE,
    3,
  )
  for n, one in enumerate(train.columns["segments"]):
    np.testing.assert_array_equal(one, masks["train", n])
  assert read(folder, classes=("a", "b", "c", "d"))["test"].classes == ("a", "b", "c", "d")
  void = read(folder, classes=("a", "VOID", "c"))["train"]
  assert void.classes == ("a", "c")
  of = np.asarray([0, VOID, 1] + [VOID] * 253)
  np.testing.assert_array_equal(void.columns["segments"][0], of[masks["train", 0]])


def test_a_resize_takes_the_nearest_pixel_and_a_stream_reads_the_same(folder):
  folder, masks = folder
  train = read(folder, resize=(6, 8))["train"].columns
  for n, one in enumerate(train["segments"]):
    np.testing.assert_array_equal(one, masks["train", n][1::2, 1::2])
  assert train["image"].shape == (4, 6, 8, 3) and train["size"].tolist() == [[12, 16]] * 4
  for options in ({}, dict(classes=("a", "b", "c")), dict(on_error="skip")):
    late = read(folder, resize=(6, 8), stream="threads", **options)["train"]
    assert late.streamed == "threads" and len(late.classes) == 3
    np.testing.assert_array_equal(
      late.columns["segments"][np.asarray([2, 0])], train["segments"][[2, 0]]
    )


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_two_values_in_any_format(tmp_path, suffix):
  for n in range(5):
    save(tmp_path / "images" / f"{n}.jpg", SIZE)
    mask = numbers(0, 255)
    draw(tmp_path / "masks" / f"{n}{suffix}", mask if n else np.repeat(mask[..., None], 3, 2))
  given = dict(images="images", segments="masks")
  with pytest.raises(
    UserError, match=r"numbers 0 alone and 255, which is void; .*'values': \(0, 255\)"
  ):
    read(tmp_path, **given)
  table = read(tmp_path, values=(0, 255), classes=("ground", "cell"), **given)["train"]
  assert table.classes == ("ground", "cell") and set(np.unique(table.columns["segments"])) == {0, 1}
  assert len(table) == 4 and table.drawn


@pytest.mark.parametrize("listed", ["rows", "file"])
def test_colours(tmp_path, listed):
  """CamVid's layout: train, train_labels, NAME_L.png, class_dict.csv."""
  rgb = np.asarray([row[1:] for row in COLOURS], np.uint8)
  truth = numbers(0, 1, 2)
  for split in ("train", "val", "test"):
    save(tmp_path / split / "0001TP.png", SIZE)
    draw(tmp_path / f"{split}_labels" / "0001TP_L.png", rgb[truth])
  lines = "".join(f"{','.join(map(str, row))}\n" for row in COLOURS)
  (tmp_path / "class_dict.csv").write_text(f"name,r,g,b\n{lines}")
  splits = read(tmp_path, name="camvid", **(dict(colours=COLOURS) if listed == "rows" else {}))
  assert list(splits) == ["train", "validation", "test"]
  assert splits["train"].classes == ("road", "sky")
  np.testing.assert_array_equal(
    splits["test"].columns["segments"][0], np.asarray([0, VOID, 1])[truth]
  )
  odd = rgb[truth].copy()
  odd[3, 5] = 1, 2, 3
  draw(tmp_path / "val_labels" / "0001TP_L.png", odd)
  with pytest.raises(
    UserError, match=r"_L.png has the colour \(1, 2, 3\) at row 3, column 5, and 1 "
  ):
    read(tmp_path, name="camvid")
  (tmp_path / "class_dict.csv").write_text(f"name,r,g,b\n{lines}road,1,1\n")
  with pytest.raises(UserError, match="has the row .*'road', '1', '1'.*; expected a name, and red"):
    read(tmp_path, name="camvid")
  (tmp_path / "class_dict.csv").write_text(f"name,r,g,b\n{lines}mud,0,0,0\n")
  with pytest.raises(UserError, match="'mud', .* but its name or colour stands there already"):
    read(tmp_path, name="camvid")
  with pytest.raises(UserError, match="is of mode RGB; expected a number a pixel; where colours"):
    read(tmp_path, name="camvid", colours=())


def test_voc(tmp_path, capsys):
  for name in ("2007_1", "2007_2", "2007_3", "2007_4", "without"):
    save(tmp_path / "JPEGImages" / f"{name}.jpg", SIZE)
    if name != "without":
      draw(tmp_path / "SegmentationClass" / f"{name}.png", numbers(0, 15, VOID), palette=True)
  lists = tmp_path / "ImageSets" / "Segmentation"
  lists.mkdir(parents=True)
  (lists / "train.txt").write_text("2007_1\n2007_3\n")
  (lists / "val.txt").write_text("2007_2\n")
  (lists / "trainval.txt").write_text("2007_1\n2007_2\n2007_3\n")
  splits = read(tmp_path, name="voc_segmentation", test=0.5)
  assert {s: t.names.tolist() for s, t in splits.items()}["validation"] == ["JPEGImages/2007_2.jpg"]
  assert splits["train"].classes == VOC and len(VOC) == 21 and len(splits["test"]) == 1
  assert set(np.unique(splits["train"].columns["segments"])) == {0, 15, VOID}
  assert "not read below" in capsys.readouterr().err
  (lists / "val.txt").write_text("2007_2\n2007_9\n")
  with pytest.raises(UserError, match="val.txt names 2007_9, which is no image there"):
    read(tmp_path, name="voc_segmentation")
  (lists / "val.txt").write_text("2007_1\n")
  with pytest.raises(UserError, match="val.txt names 2007_1, which is named before"):
    read(tmp_path, name="voc_segmentation")
  (lists / "val.txt").write_text("without\n")
  with pytest.raises(UserError, match="without.jpg has no mask at .*SegmentationClass/without.png"):
    read(tmp_path, name="voc_segmentation")


def test_a_list_of_validation_alone_and_names_in_a_file(tmp_path):
  """fast.ai's CamVid: images, labels/NAME_P.png, codes.txt, valid.txt."""
  for n in range(5):
    save(tmp_path / "images" / f"{n}.png", SIZE)
    draw(tmp_path / "labels" / f"{n}_P.png", numbers(0, 1, 2))
  (tmp_path / "codes.txt").write_text("car\nVoid\nwall\n")
  (tmp_path / "valid.txt").write_text("1.png\n3.png\n")
  splits = read(tmp_path, images="images", segments="labels", ending="_P", classes="codes.txt",
                lists="{split}.txt", test=0.4)  # fmt: skip
  assert {split: len(table) for split, table in splits.items()} == {
    "train": 1,
    "validation": 2,
    "test": 2,
  }
  assert splits["train"].classes == ("car", "wall")


def test_cells_and_objects(tmp_path):
  for kind in ("lymphocyte", "monocyte"):
    for n in range(3):
      save(tmp_path / "images" / kind / f"{n}.png", SIZE)
      draw(tmp_path / "masks" / kind / f"{n}.png", numbers(0, 128, 255))
  train = read(tmp_path, name="white_blood_cells")["train"]
  assert train.classes == ("background", "cytoplasm", "nucleus") and len(train) == 4
  assert set(np.unique(train.columns["segments"])) == {0, 1, 2}
  ids = numbers(0, 1, 40_000, kind=np.uint16)
  draw(tmp_path / "masks" / "monocyte" / "0.png", ids)
  given = dict(images="images/monocyte", segments="masks/monocyte", objects=True, test=0.4)
  splits = read(tmp_path, **given)
  assert splits["train"].classes == ("background", "object")
  for table in splits.values():
    for name, one in zip(table.names, table.columns["segments"]):
      if name.endswith("monocyte/0.png"):
        np.testing.assert_array_equal(one, ids > 0)


def test_images_and_masks_in_one_folder(tmp_path):
  for n in range(3):
    save(tmp_path / f"{n}.jpg", SIZE)
    draw(tmp_path / f"{n}_mask.png", numbers(0, 1))
  splits = read(tmp_path, images="", segments="", ending="_mask")
  assert sorted(n for t in splits.values() for n in t.names) == ["0.jpg", "1.jpg", "2.jpg"]


def test_what_is_wrong_is_left_out_and_counted(folder, capsys):
  folder, masks = folder
  (folder / "train" / "images" / "0.png").write_bytes(b"no image")
  (folder / "train" / "masks" / "1.png").unlink()
  draw(folder / "train" / "masks" / "2.png", masks["train", 2].T)
  for stream in ("", "threads"):
    splits = read(folder, on_error="skip", stream=stream)
    assert splits["train"].names.tolist() == ["train/images/3.jpg"] and len(splits["test"]) == 2
    np.testing.assert_array_equal(
      splits["train"].columns["segments"][np.arange(1)][0], masks["train", 3]
    )
    err = capsys.readouterr().err
    assert "1.jpg has no mask at" in err and "2.png is of 12x16 pixels, but " in err


def test_what_can_be_wrong(folder):
  folder, masks = folder
  file = folder / "train" / "masks" / "0.png"

  def told(**options):
    with pytest.raises(UserError) as error:
      read(folder, **options)
    return str(error.value)

  assert "set data.resize to (height, width) or ()" in told(resize=8, crop=(8, 8))
  assert "must be another number for each of the 2" in told(values=(0, 0), classes=("a", "b"))
  assert "whole numbers from 0 to 65535; found 1.5" in told(values=(1.5, 2))
  assert "objects makes two classes" in told(objects=True, classes=("a",))
  assert "codes.txt cannot be read as a list of classes" in told(classes="codes.txt")
  assert "has no list {split}.txt" in told(lists="{split}.txt")
  assert "0.png has the value 2 at row" in told(classes=("a", "b"))
  assert "found {split}/masks/ with maps" in told(segments="{split}/labels")
  odd = masks["train", 0].copy()
  odd[odd == 2], odd[4, 7] = 0, 77
  draw(file, odd)
  assert (
    "0.png has the value 77 at row 4, column 7, and 1 such pixels; expected 0 to 2, or 255"
    in told(classes=("a", "b", "c"))
  )
  assert "hold the numbers 0, 1, 2, 77 alone and 255, which is void; say which" in told()
  file.unlink()
  draw(file.with_suffix(".tif"), masks["train", 0].astype(np.int32) - 1)
  assert "0.tif has the value -1 at row" in told(classes=("a", "b", "c"))
  draw(file, masks["train", 0].T)
  assert "0.png is of 12x16 pixels, but " in told()
  file.write_bytes(b"no image")
  assert "0.png is no image that Pillow can read" in told()
  (folder / "train").rename(folder / "trian")
  assert "has no folder train/images" in told()


def test_cocos_polygons_and_crowds(tmp_path, capsys):
  """A large object under a small one, a crowd, and an object without a mask."""
  save(tmp_path / "images" / "a.png", (20, 30))
  save(tmp_path / "images" / "b.png", (20, 30))

  def box(number, kind, x0, y0, x1, y1, **more):
    outline = [x0, y0, x1, y0, x1, y1, x0, y1]
    row = {"id": number, "image_id": 1, "category_id": kind, "bbox": [x0, y0, x1 - x0, y1 - y0]}
    return {**row, "segmentation": [outline], "iscrowd": 0, **more}

  crowd = {"size": [20, 30], "counts": [580, 20]}  # the last column
  data = {
    "images": [
      {"id": n, "file_name": f"{f}.png", "height": 20, "width": 30} for n, f in ((1, "a"), (2, "b"))
    ],
    "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "ant"}],
    "annotations": [
      box(1, 3, 4, 4, 8, 8),
      box(2, 7, 2, 2, 20, 16),
      box(3, 7, 29, 0, 30, 20, segmentation=crowd, iscrowd=1),
      box(4, 7, 21, 2, 24, 4, segmentation=[]),
    ],
  }
  (tmp_path / "all.json").write_text(json.dumps(data))
  given = dict(name="coco_segmentation", annotations="all.json", images="images", test=0.5)
  splits = read(tmp_path, **given)
  found = {n: m for t in splits.values() for n, m in zip(t.names, t.columns["segments"])}
  want = np.zeros((20, 30), np.uint8)
  want[2:16, 2:20] = 2
  want[4:8, 4:8] = 1
  want[:, 29] = VOID
  np.testing.assert_array_equal(found["images/a.png"], want)
  assert not found["images/b.png"].any()
  assert splits["train"].classes == ("background", "ant", "cat")
  assert "left out 1 objects without a mask" in capsys.readouterr().err
  with pytest.raises(UserError, match="unknown class in .*all.json, image 1 'cat'"):
    read(tmp_path, classes=("ant",), **given)
