"""What a COCO JSON file can hold: each fault is one sentence, and `skip` leaves one image out."""

import json
import unicodedata

import numpy as np
import pytest

from cnnjax.data import coco
from cnnjax.errors import UserError
from cnnjax.metrics.coco import encode
from tests.data.test_folder import load, save

BOX = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 20, 20]}
SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]
DOT = [0, 0, 9, 9]  # two points, which frPyObjects would take for a box
NFC, NFD = (unicodedata.normalize(form, "Zellkörper.png") for form in ("NFC", "NFD"))


def scene(*annotations, images=(7, 8), names=("car",), **more):
  rows = [{"id": i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in images]
  categories = [{"id": 3 + n, "name": name} for n, name in enumerate(names)]
  data = {"images": rows, "categories": categories}
  return {**data, "annotations": list(annotations or [BOX]), **more}


@pytest.fixture
def folder(tmp_path):
  for n in (7, 8):
    save(tmp_path / "images" / f"{n}.png", (40, 60))
  return tmp_path


def read(folder, data=None, **options):
  """Reads a file with this content as train and test alike."""
  text = data if isinstance(data, bytes) else json.dumps(data).encode()
  for split in ("train", "test"):
    (folder / f"{split}.json").write_bytes(text)
  return load(folder, name="coco", annotations="{split}.json", images="images", **options)["train"]


def told(folder, data, **options):
  with pytest.raises(UserError) as error:
    read(folder, data, **options)
  assert "\n" not in str(error.value) and len(str(error.value)) < 700
  return str(error.value)


@pytest.mark.parametrize(
  ("change", "sentence"),
  [
    ({"bbox": [1, 2, 3]}, "annotation 1: its bbox is [1, 2, 3]; expected four finite numbers"),
    ({"bbox": [1, 2, 3, float("nan")]}, "annotation 1: its bbox is [1, 2, 3, nan]"),
    ({"bbox": [1, 2, 3, 10**400]}, "annotation 1: its bbox is [1, 2, 3, 1000"),
    ({"bbox": [1, 2, True, "4"]}, "expected four finite numbers [x, y, width, height]"),
    ({"bbox": [1, 2, -3, 4]}, "has a width or height below 0"),
    ({"bbox": None}, "its bbox is None"),
    ({"iscrowd": "0"}, "its iscrowd is '0'; expected 0 or 1"),
    ({"area": -1}, "its area is -1; expected a finite number from 0"),
    ({"area": float("inf")}, "its area is inf"),
    ({"image_id": [7]}, "its image_id is [7]; expected a whole number, or text"),
    ({"image_id": 70}, "annotation 1 is of image 70, which is not among its images"),
    ({"category_id": float("nan")}, "its category_id is nan"),
    ({"segmentation": [SQUARE[:7]]}, "annotation 1: its polygon has 7 numbers; expected an x and"),
    ({"segmentation": [[*SQUARE[:7], 1e999]]}, "must hold finite numbers alone"),
    ({"segmentation": [[*SQUARE[:7], "9"]]}, "must hold finite numbers alone"),
    ({"segmentation": SQUARE}, "expected polygons [[x, y, x, y, ...], ...] or run lengths"),
    ({"segmentation": [[0, 0, 1e9, 0, 1e9, 1e9]]}, "more than 10,000,000 pixels long"),
    ({"segmentation": [[0, 0, 5000, 0] * 3000]}, "more than 10,000,000 pixels long"),
    (
      {"segmentation": {"size": [100_000, 100_000], "counts": [10**10]}},
      "annotation 1: its run lengths are of size [100000, 100000]; expected the image's [40, 60]",
    ),
    ({"segmentation": {"size": [40, 60], "counts": [2400, 1]}}, "a sum of 40 x 60"),
    ({"segmentation": {"size": [40, 60], "counts": [2401, -1]}}, "must be whole numbers"),
    ({"segmentation": {"size": [40, 60], "counts": "é"}}, "COCO's compressed form"),
    ({"segmentation": {"size": [40, 60], "counts": "PPPPPPPPPP0"}}, "COCO's compressed form"),
    ({"segmentation": {"size": [40, 60], "counts": "o"}}, "COCO's compressed form"),
    ({"segmentation": {"counts": "0"}}, "are of size None"),
  ],
)
def test_a_wrong_annotation_is_named_and_skipped_with_its_image(folder, change, sentence, capsys):
  data = scene({**BOX, **change}, {**BOX, "id": 2, "image_id": 8})
  assert sentence in told(folder, data, masks=True)
  assert "on_error=skip" in told(folder, data)
  kept = read(folder, data, on_error="skip").columns
  orphan = "image_id" in change  # belongs to no image, and leaves alone
  assert kept["boxes"].tolist()[orphan:] == [[[10, 5, 30, 25]]]  # of image 8
  assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
  ("change", "sentence"),
  [
    ({"height": 0}, "image 7: its height is 0; expected pixels, a whole number above 0"),
    ({"width": 60.5}, "image 7: its width is 60.5"),
    ({"width": None}, "image 7: its width is None"),
    ({"width": 10**400}, "image 7: its width is 1000"),
    ({"width": 59}, "image 7 is of 59x40 pixels, but "),
    ({"file_name": ""}, "image 7: its file_name is ''; expected a name"),
    ({"file_name": "a\0.png"}, "image 7: its file_name is 'a\\x00.png'"),
    ({"file_name": "\ud800.png"}, "image 7: its file_name is '\\ud800.png'"),
    ({"file_name": ["7.png"]}, "image 7: its file_name is ['7.png']"),
    ({"file_name": "70.png"}, "no image file at "),
  ],
)
def test_a_wrong_image_is_named_and_skipped(folder, change, sentence, capsys):
  data = scene(BOX, {**BOX, "id": 2, "image_id": 8})
  data["images"][0] |= change
  assert sentence in told(folder, data)
  assert len(read(folder, data, on_error="skip")) == 1
  assert sentence in capsys.readouterr().err


def test_ids_and_names_stand_once(folder, capsys):
  assert "has two images of the id 7; expected one" in told(folder, scene(images=(7, 8, 7)))
  assert "has two annotations of the id 1" in told(folder, scene(BOX, {**BOX, "image_id": 8}))
  twice = [{"id": 3, "name": "car"}] * 2
  assert "has two categories of the id 3" in told(folder, scene(categories=twice))
  second = {**BOX, "id": 2, "category_id": 4}
  assert "has two categories called car, 3 and 4" in told(
    folder, scene(BOX, second, names=("car", "car"))
  )
  assert read(folder, scene(second, names=("car", "car"))).classes == ("car",)  # 3 is not used
  one = scene()
  one["images"][1]["file_name"] = "7.png"
  assert "image 8 is of the file 7.png, as is image 7; expected one" in told(folder, one)
  nameless = [{"id": 3, "name": None}]
  assert "category 3: its name is None; expected a name" in told(folder, scene(categories=nameless))
  assert "its id is None" in told(folder, scene(categories=[{"name": "car"}]))
  assert "annotations at place 0 is 7; expected an object" in told(folder, scene(7))
  unnumbered = {key: value for key, value in BOX.items() if key != "id"}
  assert len(read(folder, scene(unnumbered, unnumbered)).columns["boxes"][0]) == 2
  capsys.readouterr()


def test_files_that_are_no_coco_json(folder):
  assert "nested too deep" in told(folder, b"[" * 200_000)
  assert "cannot be read as JSON" in told(folder, b'{"images": [' + b"9" * 5000 + b"]}")
  assert "cannot be read as JSON" in told(folder, b"\xff\xfe\xff")
  assert "expected lists called images, annotations, categories; found list" in told(folder, [])
  assert "found 'images'" in told(folder, {"images": 7})
  for encoding in ("utf-8-sig", "utf-16", "utf-32"):
    assert len(read(folder, json.dumps(scene()).encode(encoding))) == 2


def test_polygons_of_fewer_than_three_points_are_left_out_and_counted(folder, capsys):
  mixed = {**BOX, "segmentation": [DOT, SQUARE, [], [1, 1]]}
  table = read(folder, scene(mixed), masks=True).columns
  want = np.zeros((40, 60), bool)
  want[5:25, 10:30] = True
  np.testing.assert_array_equal(table["instances"][0, 0], want)
  assert "left out 6 polygons of fewer than three points" in capsys.readouterr().err  # two splits
  table = read(folder, scene(mixed, {**BOX, "id": 2, "segmentation": [DOT]}), masks=True).columns
  assert table["valid"][0].tolist() == [1, 1] and not table["instances"][0, 1].any()
  assert "2 boxes have no mask, or an empty one, the first in " in capsys.readouterr().err
  assert "no box has a mask" in told(folder, scene({**BOX, "segmentation": [DOT]}), masks=True)


def test_run_lengths_in_both_forms_are_the_same_mask(folder):
  mask = np.random.default_rng(0).random((40, 60)) < 0.3
  flat = np.concatenate([[0], mask.T.ravel(), [0]]).astype(int)
  ends = np.flatnonzero(np.diff(flat))
  counts = np.diff([0, *ends, mask.size]).tolist()
  for code in (counts, encode(mask)["counts"].decode()):
    row = {**BOX, "segmentation": {"size": [40, 60], "counts": code}}
    np.testing.assert_array_equal(
      read(folder, scene(row), masks=True).columns["instances"][0, 0], mask
    )


def test_areas_are_the_annotations_else_the_masks_else_the_boxes(folder):
  rows = [
    {**BOX, "area": 123.5, "segmentation": [SQUARE]},
    {**BOX, "id": 2, "segmentation": [[10, 5, 30, 5, 30, 15, 10, 15]]},
    {**BOX, "id": 3, "bbox": [50, 30, 20, 20]},  # cut off at the image's border
  ]
  small = dict(resize=(20, 15))  # areas are those of the user's image
  assert read(folder, scene(*rows), masks=True, **small).columns["areas"][0].tolist() == [
    *(123.5, 200, 100)
  ]
  assert read(folder, scene(*rows), **small).columns["areas"][0].tolist() == [123.5, 400, 100]


@pytest.mark.parametrize(("written", "there"), [(NFC, NFD), (NFD, NFC)])
def test_names_that_differ_in_unicode_form_alone(folder, written, there):
  (folder / "images" / "7.png").rename(folder / "images" / there)
  data = scene(names=(written,))
  data["images"][0]["file_name"] = written
  assert read(folder, data, classes=(there,)).classes == (NFC,)


def test_an_image_outside_of_the_root(folder, tmp_path_factory):
  other = save(tmp_path_factory.mktemp("elsewhere") / "7.png", (40, 60))
  data = scene()
  data["images"][0]["file_name"] = str(other)
  assert "expected a file inside" in told(folder, data)


def test_the_users_own_ids(folder):
  read(folder, scene(names=("car", "dog")))
  names, images = coco.ids(folder / "train.json")
  assert names == {"car": 3, "dog": 4} and images == {"7.png": 7, "8.png": 8}


def test_a_layout_that_is_near(folder):
  (folder / "valid").mkdir()
  (folder / "train").mkdir()
  for split, n in (("train", 7), ("valid", 8)):
    (folder / split / "_annotations.coco.json").write_text(json.dumps(scene(images=(n,))))
    (folder / "images" / f"{n}.png").rename(folder / split / f"{n}.png")
  with pytest.raises(UserError) as error:
    load(folder, name="coco")
  arguments = {"annotations": "{split}/_annotations.coco.json", "images": "{split}"}
  assert f'add --config.data.arguments="{arguments}"' in str(error.value)
