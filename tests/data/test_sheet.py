"""A CSV of paths and labels, read back, and what can be wrong with it."""

import numpy as np
import pytest
from PIL import Image

from cnnjax.data.image import read
from cnnjax.errors import UserError
from tests.data import test_folder
from tests.data.test_folder import save


def load(file, seed=0, **options):
  return test_folder.load(file, seed, name="csv", **options)


def write(folder, rows, header="path,label,split"):
  """Writes a CSV beside its images and returns its path."""
  file = folder / "list.csv"
  file.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
  return file


@pytest.fixture
def rows(tmp_path):
  """Rows of twelve images of two classes, of three splits."""
  splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 4
  for n in range(12):
    save(tmp_path / "images" / f"{n}.png")
  return [[f"images/{n}.png", ("cat", "ant")[n % 2], split] for n, split in enumerate(splits)]


def test_given_splits(tmp_path, rows):
  splits = load(write(tmp_path, rows))
  assert {s: len(t) for s, t in splits.items()} == {"train": 6, "validation": 2, "test": 4}
  for split, spelt in (("train", "train"), ("validation", "val"), ("test", "test")):
    table, mine = splits[split], [row for row in rows if row[2] == spelt]
    assert table.classes == ("ant", "cat") and table.columns["label"].dtype == np.int32
    assert [table.classes[i] for i in table.columns["label"]] == [row[1] for row in mine]
    want = np.stack([read(tmp_path / row[0]) for row in mine])
    np.testing.assert_array_equal(table.columns["image"], want)


def test_without_a_split_column_the_seed_splits(tmp_path, rows):
  file = write(tmp_path, [row[:2] for row in rows], "path,label")
  assert {s: len(t) for s, t in load(file, test=0.5).items()} == {"train": 6, "test": 6}
  tests = [load(file, seed, test=0.5)["test"].columns["image"] for seed in (0, 0, 1)]
  assert (tests[0] == tests[1]).all() and (tests[0] != tests[2]).any()


def test_other_columns_and_another_folder(tmp_path, rows):
  named = [[row[0].split("/")[1], row[1], row[2], "x"] for row in rows]
  file = write(tmp_path, named, "\ufefffile,kind,part,more")
  options = {"path": "file", "label": "kind", "split": "part", "images": "images"}
  assert len(load(file, **options)["test"]) == 4


@pytest.mark.parametrize("classes", [(), ("cat", "ant")])
def test_integers_are_places(tmp_path, rows, classes):
  numbered = [[row[0], n % 2, row[2]] for n, row in enumerate(rows)]
  table = load(write(tmp_path, numbered), classes=classes)["test"]
  assert table.classes == (classes or ("0", "1"))
  assert table.columns["label"].tolist() == [0, 1, 0, 1]


def test_classes_that_are_named_by_integers(tmp_path, rows):
  numbered = [[row[0], 7 + n % 2, row[2]] for n, row in enumerate(rows)]
  table = load(write(tmp_path, numbered), classes=(8, 7))["test"]
  assert table.classes == ("8", "7") and table.columns["label"].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
  "row, cell, sentence",
  [
    ((3, 0), "images/30.png", "list.csv, row 5: no image file at .*/images/30.png"),
    ((3, 0), "", "list.csv, row 5 has no path"),
    ((3, 1), "", "list.csv, row 5 has no label"),
    ((3, 1), "ant,x,y", "list.csv, row 5 has more cells than the header"),
    ((3, 2), "trian", "unknown split in .*list.csv, row 5 'trian'; did you mean train"),
    ((11, 1), "anr", "unknown class of .*list.csv 'anr'; did you mean ant"),
  ],
)
def test_refused_rows(tmp_path, rows, row, cell, sentence):
  rows[row[0]][row[1]] = cell
  with pytest.raises(UserError, match=sentence):
    load(write(tmp_path, rows))


LABELS = ("long", "wide")


def measured(rows):
  """Returns the rows with two numbers instead of a class, and those numbers by file."""
  numbers = [(n / 4, 10**n) for n in range(len(rows))]
  return [[row[0], *pair, *row[2:]] for row, pair in zip(rows, numbers)], numbers


def test_columns_of_numbers(tmp_path, rows):
  told, numbers = measured(rows)
  file = write(tmp_path, told, "path,long,wide,split")
  splits = load(file, label=LABELS)
  table = splits["test"]
  assert table.classes == LABELS and "label" not in table.columns
  assert table.columns["target"].dtype == np.float32
  np.testing.assert_array_equal(table.columns["target"], np.float32(numbers[8:]))
  one = load(file, label=("wide",), classes=("width",))["train"]
  assert one.classes == ("width",) and one.columns["target"].shape == (6, 1)


def test_images_with_numbers_are_split_at_random_and_left_out_alike(tmp_path, rows, capsys):
  (tmp_path / "images" / "3.png").write_bytes(b"no image")
  told, numbers = measured([row[:2] for row in rows])
  file = write(tmp_path, told, "path,long,wide")
  splits = load(file, label=LABELS, test=0.25, on_error="skip")
  left = np.concatenate([table.columns["target"][:, 0] for table in splits.values()])
  assert sorted(left) == [n for n, _ in numbers if n != 0.75]
  assert [len(table) for table in splits.values()] == [8, 3]


@pytest.mark.parametrize("cell", ["nan", "inf", "-Infinity", "abc", "1;5", "1e999"])
def test_cells_that_are_no_numbers(tmp_path, rows, cell):
  told, _ = measured(rows)
  told[3][2] = cell
  file = write(tmp_path, told, "path,long,wide,split")
  with pytest.raises(UserError, match=f"list.csv, row 5: wide is '{cell}'; expected a finite numb"):
    load(file, label=LABELS)


def test_columns_of_numbers_that_are_not_there(tmp_path, rows):
  told, _ = measured(rows)
  file = write(tmp_path, told, "path,long,wide,split")
  with pytest.raises(UserError, match="unknown column of .*list.csv 'length'"):
    load(file, label=("length",))
  with pytest.raises(UserError, match="label names no column; expected one of classes"):
    load(file, label=())
  told[3][1] = ""
  with pytest.raises(UserError, match="row 5 has no long"):
    load(write(tmp_path, told, "path,long,wide,split"), label=LABELS)
  told[3][1] = 1e39
  with pytest.raises(UserError, match="has 1e.39 for long of example 3 in the train split"):
    load(write(tmp_path, told, "path,long,wide,split"), label=LABELS)


@pytest.mark.parametrize("relative", [True, False])
def test_files_outside_the_folder_are_refused(tmp_path, rows, relative):
  (tmp_path / "lists").mkdir()
  rows = [[f"../{row[0]}" if relative else tmp_path / row[0], *row[1:]] for row in rows]
  file = write(tmp_path / "lists", rows)
  with pytest.raises(UserError, match=f"0.png; expected a file inside {tmp_path}/lists"):
    load(file)
  images = tmp_path if not relative else None  # absolute paths may lie anywhere inside `images`
  assert images is None or len(load(file, images=str(images))["train"]) == 6


@pytest.mark.parametrize(
  "labels, classes, sentence",
  [
    (lambda n: n % 2 - 1, (), "labels from -1 to 0 in the train split; expected 0 to 0"),
    (lambda n: n % 2 + 1, (), "no example of class 0 in the train split"),
    (lambda n: n % 2 + 1, ("a", "b"), "labels from 1 to 2 in the train split; expected 0 to 1"),
    (lambda n: n % 2 + (n == 11), (), "labels from 0 to 2 in the test split; expected 0 to 1"),
    (lambda n: (0, n % 2)[n > 5], ("a", "b"), "no example of class b in the train split"),
    (lambda n: "ab"[n % 2], ("a", "a"), "names a class twice: a, a"),
    (lambda n: "ab"[n % 2], "ab", "classes must be a tuple of names, found 'ab'"),
  ],
)
def test_labels_out_of_range(tmp_path, rows, labels, classes, sentence):
  rows = [[row[0], labels(n), row[2]] for n, row in enumerate(rows)]
  with pytest.raises(UserError, match=sentence):
    load(write(tmp_path, rows), classes=classes)


def test_a_column_that_is_missing(tmp_path, rows):
  with pytest.raises(UserError, match="unknown column of .*list.csv 'label'; did you mean labels"):
    load(write(tmp_path, rows, "path,labels,split"))
  with pytest.raises(UserError, match="unknown column of .*list.csv 'splits'; did you mean split"):
    load(write(tmp_path, rows), split="splits")


def test_no_file_or_no_rows(tmp_path, rows):
  with pytest.raises(UserError, match="data.root is empty; expected a CSV file"):
    load("")
  with pytest.raises(UserError, match="is no file; expected a CSV with columns path and label"):
    load(tmp_path)
  with pytest.raises(UserError, match="has no rows under its header"):
    load(write(tmp_path, []))
  with pytest.raises(UserError, match="has no row whose split is train"):
    load(write(tmp_path, rows[-3:]))
  (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe,1\n")
  with pytest.raises(UserError, match="list.csv cannot be read as a CSV file in UTF-8"):
    load(tmp_path / "list.csv")


def test_broken_and_missing_images_are_left_out_on_request(tmp_path, rows, capsys):
  (tmp_path / "images" / "1.png").write_bytes(b"no image")
  (tmp_path / "images" / "8.png").unlink()
  file = write(tmp_path, rows)
  with pytest.raises(UserError, match="row 10: no image file"):
    load(file)
  splits = load(file, on_error="skip")
  assert {s: t.columns["label"].tolist() for s, t in splits.items()} == {
    "train": [1, 1, 0, 1, 0],
    "validation": [1, 0],
    "test": [0, 1, 0],
  }
  want = [read(tmp_path / "images" / f"{n}.png") for n in (9, 10, 11)]
  np.testing.assert_array_equal(splits["test"].columns["image"], np.stack(want))
  told = capsys.readouterr().err
  assert "left out 2 of 12 images" in told and "1.png is no image" in told and "8.png" in told


def test_sizes_mix_with_a_resize(tmp_path, rows):
  Image.new("L", (30, 20)).save(tmp_path / "images" / "0.png")
  with pytest.raises(UserError, match="set data.resize"):
    load(write(tmp_path, rows))
  image = load(write(tmp_path, rows), resize=(8, 8))["train"].columns["image"]
  assert image.shape == (6, 8, 8, 3)
