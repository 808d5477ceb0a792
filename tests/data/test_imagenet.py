"""ImageNet's own layout: names of the folders, and a val that is flat."""

import numpy as np
import pytest

from cnnjax.data.image import read
from cnnjax.errors import UserError
from tests.data.test_folder import load, save

CLASSES = ("n01440764", "n02012849", "n03126707")
NAMES = "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\nn04 more, than used\n"
TRUTH = (2, 0, 1, 0, 2)


@pytest.fixture
def root(tmp_path):
  """Three classes in train, five flat files in val, and the list of names."""
  for name in CLASSES:
    for number in range(2):
      save(tmp_path / "train" / name / f"{name}_{number}.JPEG")
  for number in range(len(TRUTH)):
    save(tmp_path / "val" / f"ILSVRC2012_val_{number:08}.JPEG")
  (tmp_path / "LOC_synset_mapping.txt").write_text(NAMES)
  return tmp_path


def label(root, form, name="val_labels.txt"):
  """Writes the list of val's labels."""
  lines = [form.format(f"ILSVRC2012_val_{n:08}", CLASSES[c]) for n, c in enumerate(TRUTH)]
  (root / name).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
  "name, form",
  [
    ("LOC_val_solution.csv", "{0},{1} 1 2 30 40"),
    ("val_labels.txt", "{0}.JPEG {1}"),
    ("imagenet_2012_validation_synset_labels.txt", "{1}"),
  ],
)
def test_a_flat_val(root, name, form):
  label(root, form, name)
  if name.endswith(".csv"):  # Kaggle's has a header, and an order of its own
    lines = (root / name).read_text().splitlines()
    (root / name).write_text("\n".join(["ImageId,PredictionString", *reversed(lines)]))
  splits = load(root, test="val")
  assert splits.keys() == {"train", "test"}
  test = splits["test"]
  assert test.classes == ("tench", "crane (n02012849)", "crane (n03126707)")
  assert test.columns["label"].tolist() == sorted(TRUTH)
  order = np.argsort(TRUTH, kind="stable")
  want = [read(root / "val" / f"ILSVRC2012_val_{n:08}.JPEG") for n in order]
  np.testing.assert_array_equal(test.columns["image"], np.stack(want))


def test_val_is_validation_unless_it_is_the_test(root):
  label(root, "{1}")
  for name in CLASSES:
    save(root / "train" / name / "more.JPEG")
  found = {split: len(table) for split, table in load(root, test=0.34).items()}
  assert found == {"train": 5, "validation": 5, "test": 4}


def test_some_classes_of_a_flat_val(root):
  label(root, "{1}")
  test = load(root, test="val", classes=(CLASSES[2], CLASSES[0]))["test"]
  assert test.classes == ("crane", "tench") and test.columns["label"].tolist() == [0, 0, 1, 1]


def test_a_sorted_val_and_an_unlabelled_test(root):
  for number, place in enumerate(TRUTH):
    path = root / "val" / f"ILSVRC2012_val_{number:08}.JPEG"
    (root / "val" / CLASSES[place]).mkdir(exist_ok=True)
    path.rename(path.parent / CLASSES[place] / path.name)
  save(root / "test" / "ILSVRC2012_test_00000000.JPEG")
  assert load(root, test="val")["test"].columns["label"].tolist() == sorted(TRUTH)


def test_folders_without_a_list_keep_their_names(root):
  label(root, "{1}")
  (root / "LOC_synset_mapping.txt").rename(root / "other.txt")
  assert load(root, test="val")["test"].classes == CLASSES
  (root / "classes.txt").write_text("n02012849 crane bird\nn01440764\n")
  assert load(root, test="val")["test"].classes == ("n01440764", "crane bird", "n03126707")


@pytest.mark.parametrize(
  "text, sentence",
  [
    (None, "images, but no folders, and .* no list of their classes; expected LOC_val_solution"),
    ("n01440764\n" * 4, "val_labels.txt has 4 labels, but .*val 5 images"),
    ("n01440765\n" * 5, "unknown class in .*val_labels.txt 'n01440765'; did you mean n01440764"),
    ("12\n" * 5, "unknown class in .*val_labels.txt '12'; known: n01440764"),
    ("other n01440764\n" * 5, "val_labels.txt has no label of .*val_00000000.JPEG"),
    (b"\xff\xfe\n" * 5, "val_labels.txt cannot be read"),
  ],
)
def test_refused_lists(root, text, sentence):
  if text is not None:
    (root / "val_labels.txt").write_bytes(text.encode() if isinstance(text, str) else text)
  with pytest.raises(UserError, match=sentence):
    load(root, test="val")


@pytest.mark.parametrize("test", ["", "train", "vol"])
def test_a_test_folder_that_is_none(root, test):
  with pytest.raises(UserError, match=f"name of a folder beside train; found '{test}'"):
    load(root, test=test)


@pytest.fixture
def tiny(tmp_path):
  """Tiny ImageNet's own layout: every image in a folder `images`, and no classes in test."""
  for name in CLASSES:
    for number in range(4):
      save(tmp_path / "train" / name / "images" / f"{name}_{number}.JPEG")
    (tmp_path / "train" / name / f"{name}_boxes.txt").write_text("x 0 0 3 3\n")
  lines = []
  for number, place in enumerate(TRUTH):
    save(tmp_path / "val" / "images" / f"val_{number}.JPEG")
    lines.insert(0, f"val_{number}.JPEG\t{CLASSES[place]}\t0\t0\t3\t3\n")
  (tmp_path / "val" / "val_annotations.txt").write_text("".join(lines))
  save(tmp_path / "test" / "images" / "test_0.JPEG")
  return tmp_path


def test_tiny_imagenet_as_it_is(tiny, capsys):
  with pytest.raises(UserError, match="test/images holds images, but .*such as 'test': 'val'"):
    load(tiny)
  splits = load(tiny, test="val")
  assert {split: len(table) for split, table in splits.items()} == {"train": 12, "test": 5}
  assert splits["test"].columns["label"].tolist() == sorted(TRUTH)
  order = np.argsort(TRUTH, kind="stable")
  want = [read(tiny / "val" / "images" / f"val_{n}.JPEG") for n in order]
  np.testing.assert_array_equal(splits["test"].columns["image"], np.stack(want))
  told = capsys.readouterr().err
  assert "3 .txt (such as train/n01440764/n01440764_boxes.txt), 1 .jpeg (test/images/" in told
