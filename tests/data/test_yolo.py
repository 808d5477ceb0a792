"""YOLO's folders in the ways in which programs write them, and what can be wrong with them."""

import json

import numpy as np
import pytest

from cnnjax.errors import UserError
from tests.data.test_folder import load, save

YAML = (
  "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: [cat, dog]\n"
)
LINES = "1 0.5 0.5 0.5 0.5\n0 0.25 0.125 0.5 0.25\n"  # in 40 x 60: a dog and a cat
BOXES = [[15, 10, 45, 30], [0, 0, 30, 10]]


@pytest.fixture
def folder(tmp_path):
  """As Roboflow writes it: two images a split."""
  for split in ("train", "valid", "test"):
    for n in range(2):
      save(tmp_path / split / "images" / f"{n}.jpg", (40, 60))
      label = tmp_path / split / "labels" / f"{n}.txt"
      label.parent.mkdir(parents=True, exist_ok=True)
      label.write_text(LINES)
  (tmp_path / "data.yaml").write_text(YAML)
  return tmp_path


def read(folder, **options):
  return load(folder, name="yolo", **options)


def told(folder, **options):
  with pytest.raises(UserError) as error:
    read(folder, **options)
  assert "\n" not in str(error.value) and len(str(error.value)) < 700
  return str(error.value)


def test_a_folder(folder, capsys):
  splits = read(folder)
  assert {split: len(t) for split, t in splits.items()} == {"train": 2, "validation": 2, "test": 2}
  for table in splits.values():
    assert table.classes == ("cat", "dog") and table.columns["labels"].tolist() == [[1, 0]] * 2
    assert table.columns["boxes"].tolist() == [BOXES] * 2
    assert table.columns["areas"].tolist() == [[600, 300]] * 2
  assert not capsys.readouterr().err
  half = read(folder, resize=(20, 30), classes=("dog", "cat"))["test"]
  assert half.columns["boxes"][0, 0].tolist() == [7.5, 5, 22.5, 15]
  assert half.classes == ("dog", "cat") and half.columns["areas"][0].tolist() == [600, 300]


@pytest.mark.parametrize(
  ("text", "splits"),
  [
    ("path: .\ntrain: train/images\nval: valid/images\n", {"train": 2, "validation": 2}),
    ("path: /content/elsewhere\ntrain: train/images\ntest: test/images", {"train": 2, "test": 2}),
    ("path: ../{name}\ntrain: train\nvalid: valid/images", {"train": 2, "validation": 2}),
    ("train: [train/images, test/images]\nval: valid/images", {"train": 4, "validation": 2}),
    ("train: ./list.txt\nval: valid\\images", {"train": 2, "validation": 2}),
    ("train: train/images\nval:\ntest: test/images", {"train": 2, "test": 2}),
  ],
)
def test_the_ways_in_which_paths_are_written(folder, text, splits):
  (folder / "list.txt").write_text("./train/images/1.jpg\ntrain/images/0.jpg\n")
  (folder / "data.yaml").rename(folder / "other.yml")
  names = "\nnames:\n  0: cat\n  1: dog\n"
  (folder / "other.yml").write_text(text.replace("{name}", folder.name) + names)
  found = {split: len(table) for split, table in read(folder, test=0.5).items()}
  if "test" not in splits:
    splits = {**splits, "train": splits["train"] // 2, "test": (splits["train"] + 1) // 2}
  assert found == splits


def test_a_test_split_that_is_not_there_is_told(folder, capsys):
  (folder / "test").rename(folder / "tset")
  assert set(read(folder, test=0.5)) == {"train", "validation", "test"}
  err = capsys.readouterr().err
  assert "data.yaml: test is '../test/images', but there is no such folder or file" in err
  assert f"not read below {folder}: 2 .jpg (such as tset/images/0.jpg)" in err


def test_without_a_yaml_file(folder):
  (folder / "data.yaml").unlink()
  message = told(folder)
  arguments = {"images": "{split}/images", "classes": ("NAME", "...")}
  assert f'add --config.data.arguments="{arguments}"' in message
  assert read(folder, images="{split}/images", classes=("cat", "dog"))["test"].classes[1] == "dog"
  (folder / "classes.txt").write_text("cat\ndog\n")  # as labelImg writes it
  assert len(read(folder, images="{split}/images")["validation"]) == 2


def test_labels_beside_their_images_and_images_without(folder, capsys):
  for split in ("train", "valid", "test"):
    (folder / split / "labels" / "0.txt").rename(folder / split / "images" / "0.txt")
  (folder / "test" / "labels" / "1.txt").unlink()
  (folder / "train" / "labels" / "5.txt").write_text(LINES)
  splits = read(folder)
  assert splits["train"].columns["valid"].sum() == 4 and splits["test"].columns["valid"].sum() == 2
  err = capsys.readouterr().err
  assert f"1 images have no boxes, for they have no text file, the first {folder}/test" in err
  assert f"1 text files of boxes have no image, the first {folder}/train/labels/5.txt" in err
  for file in folder.rglob("*.txt"):
    file.unlink()
  assert "has a text file of boxes; expected one for " in told(folder)


def test_polygons_are_boxes_and_masks(folder):
  text = "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n"
  for file in folder.rglob("labels/*.txt"):
    file.write_text(text)
  columns = read(folder, masks=True)["train"].columns
  assert columns["boxes"].tolist() == [[[15, 10, 45, 30]]] * 2
  want = np.zeros((40, 60), bool)
  want[10:30, 15:45] = True
  np.testing.assert_array_equal(columns["instances"][0, 0], want)
  assert "instances" not in read(folder)["train"].columns
  (folder / "data.yaml").write_text(YAML + "kpt_shape: [1, 3]\n")
  for file in folder.rglob("labels/*.txt"):
    file.write_text("0 0.5 0.5 0.5 0.5 0.4 0.4 2\n")
  assert read(folder)["train"].columns["boxes"][0].tolist() == [[15, 10, 45, 30]]


@pytest.mark.parametrize(
  ("line", "sentence"),
  [
    ("2 0.5 0.5 0.5 0.5", "line 1 is of class 2; expected one of the numbers 0, 1"),
    ("0.5 0.5 0.5 0.5 0.5", "is of class 0.5"),
    ("cat 0.5 0.5 0.5 0.5", "line 1 is 'cat 0.5 0.5 0.5 0.5'; expected numbers: class cx cy w h"),
    ("0 0.5 0.5 0.5", "line 1 has 4 numbers; expected class cx cy w h, or a class"),
    ("0 0.5 0.5 0.5 0.5 0.9", "line 1 has 6 numbers"),
    ("0 30 20 30 20", "line 1 has '0 30 20 30 20'; expected parts of the image, from 0 to 1"),
    ("0 nan 0.5 0.5 0.5", "expected parts of the image"),
    ("0 1e999 0.5 0.5 0.5", "expected parts of the image"),
    ("0 0.5 0.5 -0.005 0.5", "line 1 has a width or height below 0"),
    ("\0", "expected numbers"),
    (b"\xff\xfe\xff", "cannot be read"),
  ],
)
def test_a_wrong_line_is_named_and_its_image_skipped(folder, line, sentence, capsys):
  data = line if isinstance(line, bytes) else line.encode()
  (folder / "train" / "labels" / "1.txt").write_bytes(data)
  message = told(folder)
  assert "train/labels/1.txt" in message and sentence in message
  assert "on_error=skip" in message
  assert len(read(folder, on_error="skip")["train"]) == 1
  assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
  ("text", "sentence"),
  [
    ("[" * 100_000, "nested too deep"),
    ("a: [b", "cannot be read as YAML"),
    ("just words", "is no table of keys"),
    ("train: train\n", "its names are None; expected a list, or a table 0: NAME"),
    ("train: train\nnames: [yes, no]\n", "the name of class 0 is True; expected a name"),
    ("train: train\nnames: [a, a]\n", "has two classes called a"),
    ("train: train\nnames: [a, b]\nnc: 3\n", "nc is 3, but it has 2 names"),
    ("train: train\nnames: {x: a}\n", "'x' in its names is no number of a class"),
    ("names: [cat, dog]\n", "has no key train"),
    ("train: nowhere\nnames: [cat, dog]\n", "train is 'nowhere', but there is no such folder"),
    ("train: 7\nnames: [cat, dog]\n", "train is 7; expected the path of a folder of images"),
    ("train: /usr\nnames: [cat, dog]\n", "expected a file inside"),
    ("train: train\nval: valid\nvalid: test\nnames: [cat, dog]\n", "both the validation split"),
    ("train: !!python/object/apply:os.system [exit]\n", "cannot be read as YAML"),
  ],
)
def test_a_wrong_yaml_file_is_one_sentence(folder, text, sentence):
  (folder / "data.yaml").write_text(text)
  assert sentence in told(folder)


def test_a_label_outside_of_the_root(folder, tmp_path_factory):
  secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
  secret.write_text(json.dumps("secret"))
  (folder / "train" / "labels" / "1.txt").unlink()
  (folder / "train" / "labels" / "1.txt").symlink_to(secret)
  assert "expected a file inside" in told(folder)
