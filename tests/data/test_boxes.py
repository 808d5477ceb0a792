"""Folders with boxes of four kinds, read back, and what can be wrong with them."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cnnjax.data import catalogue
from cnnjax.data.describe import describe
from cnnjax.data.sampling import epochs
from cnnjax.errors import UserError
from cnnjax.metrics.coco import encode
from tests.data.test_folder import load, save, section
from tests.data.test_stream import same

FULL, HALF = (), (20, 30)  # sizes of images of 40 x 60
SIZE = "<size><width>60</width><height>40</height><depth>3</depth></size>"
DOG = ("dog", (11, 5, 30, 24))


def xml(file, *objects, size=SIZE):
  """Writes an annotation of (name, (xmin, ymin, xmax, ymax), difficult) and returns its path."""
  text = ""
  for name, corners, *difficult in objects:
    box = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), corners))
    flag = f"<difficult>{difficult[0]}</difficult>" if difficult else ""
    text += f"<object><name>{name}</name>{flag}<bndbox>{box}</bndbox></object>"
  file.parent.mkdir(parents=True, exist_ok=True)
  file.write_text(f"<annotation>{size}{text}</annotation>")
  return file


@pytest.fixture
def folder(tmp_path):
  """A VOC folder of four images; the last has no box."""
  for n, objects in enumerate(
    [[DOG], [DOG, ("cat", (1, 1, 60, 40), 1)], [("cat", (3, 3, 9, 9))], []]
  ):
    save(tmp_path / "JPEGImages" / f"im{n}.{('png', 'jpg')[n % 2]}", (40, 60))
    xml(tmp_path / "Annotations" / f"im{n}.xml", *objects)
  lists = tmp_path / "ImageSets" / "Main"
  lists.mkdir(parents=True)
  for name, numbers in (("train", (0, 1)), ("val", (2,)), ("trainval", (0, 1, 2)), ("test", (3,))):
    (lists / f"{name}.txt").write_text("".join(f"im{n}  1\n" for n in numbers))
  return tmp_path


def read(folder, to=FULL, source="voc", **options):
  return load(folder, name=source, resize=to, **options)


def test_a_voc_folder(folder):
  splits = read(folder)
  assert {name: len(table) for name, table in splits.items()} == {
    "train": 2,
    "validation": 1,
    "test": 1,
  }
  train = splits["train"]
  assert train.classes == ("cat", "dog") and train.columns["image"].shape == (2, 40, 60, 3)
  assert train.columns["boxes"].tolist() == [
    [[10, 4, 30, 24], [0, 0, 0, 0]],
    [[10, 4, 30, 24], [0, 0, 60, 40]],
  ]
  assert train.columns["labels"].tolist() == [[1, 0], [1, 0]]
  assert train.columns["valid"].tolist() == [[1, 0], [1, 1]]
  assert train.columns["difficult"].tolist() == [[0, 0], [0, 1]]
  assert train.columns["areas"].tolist() == [[400, 0], [400, 2400]]
  assert train.names.tolist() == ["JPEGImages/im0.png", "JPEGImages/im1.jpg"]
  assert not splits["test"].columns["valid"].any()  # background
  assert (
    train.columns["boxes"].dtype == np.float32 and train.columns["size"].tolist() == [[40, 60]] * 2
  )


def test_boxes_are_resized_with_their_images(folder):
  splits = read(folder, HALF, places=5)
  assert splits["train"].columns["image"].shape == (2, 20, 30, 3)
  boxes = splits["train"].columns["boxes"]
  assert boxes.shape == (2, 5, 4) and boxes[1, :2].tolist() == [[5, 2, 15, 12], [0, 0, 30, 20]]
  assert splits["train"].columns["areas"][1, :2].tolist() == [400, 2400]  # of the user's image
  stretched = read(folder, (80, 30))
  assert stretched["train"].columns["boxes"][0, 0].tolist() == [5, 8, 15, 48]


def test_without_lists_a_test_split_is_held_out(folder):
  for file in (folder / "ImageSets" / "Main").iterdir():
    file.unlink()
  assert {n: len(t) for n, t in read(folder, test=0.5).items()} == {"train": 2, "test": 2}


def test_a_list_of_trainval_alone(folder):
  for name in ("train", "val"):
    (folder / "ImageSets" / "Main" / f"{name}.txt").unlink()
  assert {n: len(t) for n, t in read(folder).items()} == {"train": 3, "test": 1}


def test_boxes_are_counted_by_class_and_split(folder):
  assert describe(read(folder)) == {
    "train": {"examples": 2, "boxes": [1, 2]},
    "validation": {"examples": 1, "boxes": [1, 0]},
    "test": {"examples": 1, "boxes": [0, 0]},
  }


def test_folds_fractions_and_sampling(folder):
  (folder / "ImageSets" / "Main" / "val.txt").unlink()
  (folder / "ImageSets" / "Main" / "train.txt").unlink()  # so that trainval's three train
  data = section(folder, name="voc")
  data.folds, tests = 4, []
  for data.fold in range(4):
    splits = catalogue.load(data, 0)
    assert len(splits["train"]) == 3
    tests.append(splits["test"].columns["boxes"][0, 0].tolist())
  assert sorted(tests) == [[0] * 4, [2, 2, 9, 9], [10, 4, 30, 24], [10, 4, 30, 24]]
  data.folds = data.fold = 0
  data.fraction, data.validation = 0.7, 0.5
  assert {n: len(t) for n, t in catalogue.load(data, 0).items()} == {
    "train": 1,
    "test": 1,
    "validation": 1,
  }
  assert sorted(epochs(read(folder)["train"], 0)(0)) == [0, 1, 2]
  with pytest.raises(UserError, match="data.sampling balanced needs a class for each image"):
    epochs(read(folder)["train"], 0, "balanced")
  data.fraction, data.folds = 1.0, 5
  with pytest.raises(UserError, match="data.folds 5 needs as many examples; found 4"):
    catalogue.load(data, 0)


def test_ilsvrc(tmp_path):
  for split in ("train", "val"):
    save(tmp_path / "Data/DET" / split / "n01" / "a.JPEG", (40, 60))
    xml(tmp_path / "Annotations/DET" / split / "n01" / "a.xml", ("n02", (0, 0, 30, 20)))
    lists = tmp_path / "ImageSets/DET"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / f"{split}.txt").write_text("n01/a 1\n")
  places = dict(images="Data/DET/{split}", annotations="Annotations/DET/{split}")
  options = dict(**places, lists="ImageSets/DET/{split}.txt", first=0)
  with pytest.raises(UserError, match="cannot hold out"):  # of one image
    read(tmp_path, **options)
  (tmp_path / "Data/DET/val").rename(tmp_path / "Data/DET/test")
  (tmp_path / "Annotations/DET/val").rename(tmp_path / "Annotations/DET/test")
  (tmp_path / "ImageSets/DET/val.txt").rename(tmp_path / "ImageSets/DET/test.txt")
  assert read(tmp_path, **options)["test"].columns["boxes"].tolist() == [[[0, 0, 30, 20]]]


def test_boxes_of_no_area_are_left_out_and_counted(folder, capsys):
  odd = [("dog", (9, 9, 9, 9)), ("dog", (70, 3, 90, 9)), ("cat", (-5, 30, 20, 90))]
  xml(folder / "Annotations" / "im0.xml", DOG, *odd)
  train = read(folder)["train"].columns
  assert train["boxes"][0].tolist() == [[10, 4, 30, 24], [0, 29, 20, 40]]  # the last is cut off
  told = capsys.readouterr().err
  assert told == f"left out 2 boxes of no area, the first in {folder}/Annotations/im0.xml\n"


def test_what_can_be_wrong_with_voc(folder):
  file = folder / "Annotations" / "im1.xml"
  cases = [
    (dict(size=""), "im1.xml has no size; expected <size> with <width> and <height>"),
    (dict(size=SIZE.replace("60", "wide")), "width of <size> must be a number; found 'wide'"),
    (dict(size=SIZE.replace("60", "61")), "im1.xml is of 61x40 pixels, but .*im1.jpg has 60x40"),
  ]
  for options, sentence in cases:
    xml(file, DOG, **options)
    with pytest.raises(UserError, match=sentence):
      read(folder, classes=("cat", "dog"))
  xml(file, DOG, ("cat", (1, 1, 9)))
  with pytest.raises(UserError, match="ymax of <bndbox> must be a number; found ''"):
    read(folder)
  xml(file, *[DOG] * 7)
  with pytest.raises(UserError, match="im1.xml has 7 boxes; set data.arguments.places to 7"):
    read(folder, places=3, classes=("cat", "dog"))
  with pytest.raises(UserError, match="unknown class in .*im2.xml 'cat'"):
    read(folder, classes=("dog", "cow"))
  with pytest.raises(UserError, match="set data.resize to"):
    read(folder, 32, crop=(32, 32))
  file.write_text("<annotation>")
  with pytest.raises(UserError, match="im1.xml cannot be read as XML"):
    read(folder)
  file.unlink()
  with pytest.raises(UserError, match="no annotation at .*im1.xml"):
    read(folder)
  xml(file, DOG)
  (folder / "JPEGImages" / "im1.jpg").unlink()
  with pytest.raises(UserError, match="no image of im1 in .*JPEGImages"):
    read(folder)
  with pytest.raises(UserError, match="is no folder"):
    read(folder / "nowhere")
  with pytest.raises(UserError, match="has neither ImageSets/Main/{split}.txt nor Annotations"):
    read(folder / "JPEGImages")


def test_an_image_of_another_folder_is_not_read(folder, tmp_path_factory):
  secret = save(tmp_path_factory.mktemp("elsewhere") / "im0.png", (40, 60))
  (folder / "JPEGImages" / "im0.png").unlink()
  (folder / "JPEGImages" / "im0.png").symlink_to(secret)
  with pytest.raises(UserError, match="expected a file inside"):
    read(folder)


def test_broken_images_leave_with_their_boxes(folder, capsys):
  (folder / "JPEGImages" / "im0.png").write_bytes(b"no image")
  train = read(folder, on_error="skip")["train"]
  assert train.columns["boxes"].tolist() == [[[10, 4, 30, 24], [0, 0, 60, 40]]]
  assert "left out 1 of 4 images" in capsys.readouterr().err


def square(x0, y0, x1, y1):
  mask = np.zeros((40, 60), bool)
  mask[y0:y1, x0:x1] = True
  return mask


def runs(mask):
  """Returns COCO's uncompressed run lengths, column by column, zeros first."""
  flat = np.concatenate([[0], mask.T.ravel(), [0]]).astype(int)
  ends = np.flatnonzero(np.diff(flat))
  return {"size": list(mask.shape), "counts": np.diff([0, *ends, mask.size]).tolist()}


@pytest.fixture
def scene():
  """A COCO file of three images, whose last has no box."""
  polygon = [[10, 5, 30, 5, 30, 25, 10, 25], [40, 30, 50, 30, 50, 35, 40, 35]]
  code = encode(square(0, 0, 20, 10))
  annotations = [
    {"image_id": 7, "category_id": 18, "bbox": [10, 5, 40, 30], "segmentation": polygon},
    {"image_id": 7, "category_id": 3, "bbox": [2, 2, 6, 8], "iscrowd": 1},
    {"image_id": 9, "category_id": 3, "bbox": [0, 0, 20, 10]},
  ]
  annotations[1]["segmentation"] = runs(square(2, 2, 8, 10))
  annotations[2]["segmentation"] = {"size": [40, 60], "counts": code["counts"].decode()}
  return {
    "images": [{"id": i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in (9, 7, 8)],
    "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
    "annotations": [{"id": n, **row} for n, row in enumerate(annotations)],
  }


def write(folder, scene, splits=("train", "val", "test")):
  (folder / "annotations").mkdir(exist_ok=True)
  for split in splits:
    for image in scene["images"]:
      save(folder / f"{split}2017" / image["file_name"], (40, 60))
    (folder / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(scene))


def test_a_coco_folder_with_masks(tmp_path, scene):
  write(tmp_path, scene)
  splits = read(tmp_path, FULL, "coco", masks=True)
  assert set(splits) == {"train", "validation", "test"}
  table = splits["train"]
  columns = table.columns
  assert table.classes == ("car", "dog")  # by id
  assert columns["labels"].tolist() == [[0, 0], [1, 0], [0, 0]]
  assert columns["valid"].tolist() == [[1, 0], [1, 1], [0, 0]]
  assert columns["crowd"].tolist() == [[0, 0], [0, 1], [0, 0]]
  assert columns["boxes"][1].tolist() == [[10, 5, 50, 35], [2, 2, 8, 10]]
  want = square(10, 5, 30, 25) | square(40, 30, 50, 35)
  np.testing.assert_array_equal(columns["instances"][1, 0], want)
  np.testing.assert_array_equal(columns["instances"][1, 1], square(2, 2, 8, 10))
  np.testing.assert_array_equal(columns["instances"][0, 0], square(0, 0, 20, 10))
  assert not columns["instances"][2].any()
  half = read(tmp_path, HALF, "coco", masks=True)["train"].columns
  np.testing.assert_array_equal(half["instances"][0, 0], square(0, 0, 20, 10)[1::2, 1::2])
  assert half["boxes"][1, 1].tolist() == [1, 1, 4, 5]
  assert "instances" not in read(tmp_path, FULL, "coco")["train"].columns


def test_what_can_be_wrong_with_coco(tmp_path, scene):
  write(tmp_path, scene)
  file = tmp_path / "annotations" / "instances_train2017.json"

  def told(**changed):
    file.write_text(json.dumps({**scene, **changed}))
    with pytest.raises(UserError) as error:
      read(tmp_path, FULL, "coco")
    return str(error.value)

  row = {"id": 5, "image_id": 1, "category_id": 3, "bbox": [1, 1, 2, 2]}
  assert "annotation 5 is of image 1, which is not among its images" in told(annotations=[row])
  row |= {"image_id": 7, "category_id": 1}
  assert "annotation 5 is of category 1, which is not among" in told(annotations=[row])
  row |= {"category_id": 3, "bbox": [1, 1, "x", 2]}
  said = "annotation 5: its bbox is [1, 1, 'x', 2]; expected four finite numbers"
  assert said in told(annotations=[row])
  assert "is no COCO JSON of boxes" in told(images=7)
  missing = [*scene["images"], {"id": 1, "file_name": "1.png", "height": 40, "width": 60}]
  assert f"no image file at {tmp_path}/train2017/1.png" in told(images=missing)
  file.write_text("{")
  with pytest.raises(UserError, match="cannot be read as JSON"):
    read(tmp_path, FULL, "coco")
  file.unlink()
  with pytest.raises(UserError, match="has no annotations/instances_train2017.json"):
    read(tmp_path, FULL, "coco")


ROWS = """ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf
a,xclick,/m/1,1,0.25,0.5,0,1,0,0,0
a,xclick,/m/2,1,0,1,0.5,0.75,0,0,1
b,xclick,/m/2,1,0.5,0.75,0.25,0.5,0,0,0
"""


def test_masks_that_the_memory_does_not_hold(tmp_path, scene, monkeypatch):
  write(tmp_path, scene)
  with monkeypatch.context() as small:
    small.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=50_000))
    sentence = "9 images' masks of 2x40x60 take 0.0 GB, .*; a smaller data.resize has smaller ones"
    with pytest.raises(UserError, match=sentence):
      read(tmp_path, FULL, "coco", masks=True, stream="threads")


def test_streamed_images_have_their_boxes(folder, tmp_path_factory, scene):
  same(read(folder, HALF, stream="threads"), read(folder, HALF))
  other = tmp_path_factory.mktemp("coco")
  write(other, scene)
  two = (read(other, FULL, "coco", masks=True, **more) for more in ({"stream": "threads"}, {}))
  same(*two)


def test_open_images(tmp_path):
  for split in ("train", "validation", "test"):
    (tmp_path / f"{split}-annotations-bbox.csv").write_text(ROWS)
    for name in "ab":
      save(tmp_path / split / f"{name}.jpg", (40, 60))
  (tmp_path / "class-descriptions-boxable.csv").write_text("/m/1,Tree\n/m/2,Person, or so\n")
  splits = read(tmp_path, HALF, "open_images")
  assert set(splits) == {"train", "validation", "test"}
  table = splits["test"]
  assert table.classes == ("Person, or so", "Tree")
  assert table.columns["boxes"][0].tolist() == [[7.5, 0, 15, 20], [0, 10, 30, 15]]
  assert table.columns["crowd"].tolist() == [[0, 1], [0, 0]]
  same(read(tmp_path, HALF, "open_images", stream="threads"), splits)
  file = tmp_path / "train-annotations-bbox.csv"
  for old, new, sentence in (
    ("0.25,0.5,0,1", "25,50,0,1", "row 2: the corners must be parts from 0 to 1"),
    ("0.25,0.5,0,1", "x,0.5,0,1", "row 2: the corners must be numbers"),
    ("XMin", "x0", "unknown column of .* 'XMin'"),
  ):
    file.write_text(ROWS.replace(old, new, 1))
    with pytest.raises(UserError, match=sentence):
      read(tmp_path, HALF, "open_images")


@pytest.mark.parametrize(
  ("old", "new", "sentence"),
  [
    ("0.25,0.5,0,1", "nan,0.5,0,1", "row 2: the corners must be parts from 0 to 1"),
    ("0.25,0.5,0,1", "0.5,0.25,0,1", "row 2: XMin and YMin must be below XMax and YMax"),
    ("a,xclick", ",xclick", "row 2: ImageID is ''; expected a name"),
    ("/m/1", "", "row 2: LabelName is ''; expected a name"),
    ("0,0,0\n", "0,0,yes\n", "row 2: IsGroupOf is 'yes'; expected 0 or 1"),
    ("a,xclick", "c,xclick", "no image file at "),
  ],
)
def test_a_wrong_row_of_open_images_is_named_and_skipped(tmp_path, old, new, sentence, capsys):
  for split in ("train", "test"):
    rows = ROWS.replace(old, new, 1) if split == "train" else ROWS
    (tmp_path / f"{split}-annotations-bbox.csv").write_text(rows, "utf-8-sig")
    for name in "ab":
      save(tmp_path / split / f"{name}.jpg", (40, 60))
  with pytest.raises(UserError, match=re.escape(sentence)):
    read(tmp_path, FULL, "open_images", classes=("/m/1", "/m/2"))
  table = read(tmp_path, FULL, "open_images", classes=("/m/1", "/m/2"), on_error="skip")["train"]
  assert "train/b.jpg" in table.names and sentence in capsys.readouterr().err
  (tmp_path / "class-descriptions-boxable.csv").write_text("\ufeff/m/1,Tree\n/m/2,Tree\n", "utf-8")
  with pytest.raises(UserError, match="calls both /m/1 and /m/2 Tree; expected two names"):
    read(tmp_path, FULL, "open_images")


def test_images_of_several_sizes_need_a_resize(folder):
  Image.new("RGB", (50, 40)).save(folder / "JPEGImages" / "im0.png")
  xml(folder / "Annotations" / "im0.xml", DOG, size=SIZE.replace("60", "50"))
  with pytest.raises(UserError, match="set data.resize"):
    read(folder)
  assert read(folder, HALF)["train"].columns["boxes"][0, 0].tolist() == [6, 2, 18, 12]
