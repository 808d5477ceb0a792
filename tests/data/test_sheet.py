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
  "cells",
  [("00", "0"), ("1", "01"), ("1.0", "1"), ("+1", "1"), ("1e0", "1"), ("0x1", "1"), ("-0", "0")]
  + [("\u0661", "1"), ("1_0", "10"), (str(10**30), "1"), ("nan", "a"), ("none", "some")],
)
def test_a_label_is_a_number_only_where_it_is_written_as_one(tmp_path, rows, cells):
  named = [[row[0], cells[n % 2], row[2]] for n, row in enumerate(rows)]
  table = load(write(tmp_path, named))["test"]
  assert table.classes == tuple(sorted(cells))
  assert [table.classes[label] for label in table.columns["label"]] == [*cells, *cells]


@pytest.mark.parametrize("cell", ["nan", "NaN", "null", "NA", "<NA>"])
def test_a_label_that_was_not_known(tmp_path, rows, cell):
  numbered = [[row[0], n % 2, row[2]] for n, row in enumerate(rows)]
  numbered[3][1] = cell
  with pytest.raises(UserError, match=f"list.csv has the label '{cell}' among numbers"):
    load(write(tmp_path, numbered))


@pytest.mark.parametrize("spelt", [("Train", "VALID", "Testing"), ("training", "dev", "TEST")])
def test_splits_of_any_spelling(tmp_path, rows, spelt):
  told = dict(zip(("train", "val", "test"), spelt))
  splits = load(write(tmp_path, [[*row[:2], told[row[2]]] for row in rows]))
  assert {s: len(t) for s, t in splits.items()} == {"train": 6, "validation": 2, "test": 4}


@pytest.mark.parametrize(
  "encoding, options",
  [("utf-8-sig", {}), ("utf-16", {}), ("utf-32", {}), ("latin-1", {"encoding": "latin-1"})],
)
@pytest.mark.parametrize("parted", [",", ";", "\t"])
def test_encodings_and_separators(tmp_path, rows, encoding, options, parted):
  file = write(tmp_path, [[row[0], row[1].replace("a", "\u00e4"), row[2]] for row in rows])
  file.write_bytes(file.read_text().replace(",", parted).encode(encoding))
  table = load(file, **options)["test"]
  assert table.classes == ("c\u00e4t", "\u00e4nt") and len(table) == 4


def test_names_of_another_form_of_unicode(tmp_path, rows):
  (tmp_path / "images").rename(tmp_path / "ima\u0301ges")
  (tmp_path / "ima\u0301ges" / "0.png").rename(tmp_path / "ima\u0301ges" / "e\u0301.png")
  rows = [[row[0].replace("images", "im\u00e1ges"), *row[1:]] for row in rows]
  rows[0][0] = "im\u00e1ges/\u00e9.png"
  for n, row in enumerate(rows):
    row[1] = ("cat", ("\u00e9", "e\u0301")[n > 5])[n % 2]
  splits = load(write(tmp_path, rows))
  assert splits["train"].classes == ("cat", "\u00e9") and len(splits["train"]) == 6


@pytest.mark.parametrize(
  "header, sentence",
  [
    ("path,label,label", "has 2 columns named label; expected one"),
    ("path,split,label,split", "has 2 columns named split; expected one"),
  ],
)
def test_a_column_that_is_there_twice(tmp_path, rows, header, sentence):
  with pytest.raises(UserError, match=f"list.csv {sentence}"):
    load(write(tmp_path, [[*row, "x"] for row in rows], header))
  twice = [[row[0], "x", "y", *row[1:]] for row in rows]
  assert len(load(write(tmp_path, twice, "path,note,note,label ,split"))["test"]) == 4


@pytest.mark.parametrize(
  "cell, sentence",
  [
    ("images/\0.png", r"no image file at .*/images/\\0.png"),
    ("x" * 5000, "no image file at"),
    ("x" * 140_000, "cannot be read as a CSV file.*field larger than field limit"),
    ("x," * 600_000, "cannot be read as a CSV file.*a line of more than 1,048,576 characters"),
  ],
)
def test_hostile_cells(tmp_path, rows, cell, sentence):
  rows[3][0] = cell
  with pytest.raises(UserError, match=sentence):
    load(write(tmp_path, rows))


@pytest.mark.parametrize("encoding", ["klingon", "hex", "utf-7", "ascii"])
def test_encodings_that_are_not_known_or_wrong(tmp_path, rows, encoding):
  file = write(tmp_path, [[row[0], "\u00e4"] for row in rows], "path,label")
  with pytest.raises(
    UserError, match=f"list.csv cannot be read as a CSV file in {encoding.upper()}"
  ):
    load(file, encoding=encoding)


def test_rows_with_faults_are_left_out_on_request(tmp_path, rows, capsys):
  rows[0][0], rows[1][1], rows[2][2] = "", "", "trian"
  rows[3].append("more")
  rows[4][0] = "images/\0.png"
  file = write(tmp_path, rows)
  with pytest.raises(UserError, match="row 2 has no path; data.arguments.on_error=skip"):
    load(file)
  rows[0][0], rows[10][1] = "images/0.png", "ant"
  rows[0][0] = ""
  rows[9][1] = "cat"
  splits = load(
    write(tmp_path, [*rows, *([f"images/{n}.png", "cat", "train"] for n in (0, 1))]),
    on_error="skip",
  )
  assert {s: len(t) for s, t in splits.items()} == {"train": 3, "validation": 2, "test": 4}
  told = capsys.readouterr().err
  assert "left out 4 of 14 rows of" in told and "row 5 has more cells than the header" in told
  assert "left out 1 of 10 images" in told and "it holds a NUL" in told


def test_a_relative_root_with_some_absolute_paths(tmp_path, rows, monkeypatch):
  rows[0][0] = tmp_path / rows[0][0]
  write(tmp_path, rows)
  monkeypatch.chdir(tmp_path)
  assert len(load("list.csv")["test"]) == 4


def test_images_that_no_row_names_are_counted(tmp_path, rows, capsys):
  save(tmp_path / "images" / "x.png")
  (tmp_path / "images" / "x.txt").write_text("")
  load(write(tmp_path, rows))
  assert capsys.readouterr().err == f"not read below {tmp_path}/images: 1 .png (x.png)\n"


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
