"""Boxes in CSV files of rows, under the headers that people write."""

import pytest

from cnnjax.errors import UserError
from tests.data.test_folder import load, save

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax"
ROWS = ["a.png,60,40,dog,10,5,30,25", "a.png,60,40,cat,0,0,60,40", "b.png,60,40,dog,1,2,3,4"]


@pytest.fixture
def folder(tmp_path):
  for split in ("train", "test"):
    for name in "ab":
      save(tmp_path / split / f"{name}.png", (40, 60))
    write(tmp_path, split)
  return tmp_path


def write(folder, split="train", header=HEADER, rows=ROWS, encoding="utf-8"):
  file = folder / split / "_annotations.csv"
  file.write_text("\n".join([header, *rows]) + "\n", encoding)
  return file


def read(folder, **options):
  return load(folder, name="boxes_csv", **options)


def told(folder, **options):
  with pytest.raises(UserError) as error:
    read(folder, **options)
  assert "\n" not in str(error.value)
  return str(error.value)


def test_a_folder(folder, capsys):
  splits = read(folder)
  assert set(splits) == {"train", "test"}
  for table in splits.values():
    assert table.classes == ("cat", "dog")
    assert table.columns["boxes"].tolist() == [
      [[10, 5, 30, 25], [0, 0, 60, 40]],
      [[1, 2, 3, 4], [0] * 4],
    ]
    assert table.columns["areas"].tolist() == [[400, 2400], [4, 0]]
  assert not capsys.readouterr().err
  first = read(folder, first=1)["train"].columns["boxes"]  # rows made from VOC's as they are
  assert first[0, 0].tolist() == [9, 4, 30, 25]


@pytest.mark.parametrize(
  ("header", "rows"),
  [
    ("image_id,label,x1,y1,x2,y2", ["a,dog,10,5,30,25", "b,cat,1,2,3,4"]),
    ("Image Path,XMin,YMin,XMax,YMax,Class_Name", ["a.png,10,5,30,25,dog", "b.png,1,2,3,4,cat"]),
    ("path;category;left;top;right;bottom", ["a.png;dog;10;5;30;25", "b.png;cat;1;2;3;4"]),
    ("file_name,class,xmin,ymin,xmax,ymax,more", ["a.png,dog,10,5,30,25,x", "b.png,cat,1,2,3,4,"]),
    (HEADER, ["a.png,,,dog,10.0,5,30,2.5e1", "b.png,60,40,cat,1,2,3,4"]),
  ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_headers(folder, header, rows, encoding):
  write(folder, "train", header, rows, encoding)
  table = read(folder)["train"]
  assert table.columns["boxes"][:, 0].tolist() == [[10, 5, 30, 25], [1, 2, 3, 4]]
  assert table.columns["labels"][:, 0].tolist() == [1, 0] and table.columns["valid"].sum() == 2
  assert table.names.tolist() == ["train/a.png", "train/b.png"]


def test_one_file_with_a_column_of_splits(folder):
  rows = ["train/a.png,dog,10,5,30,25,Train", "test/a.png,dog,10,5,30,25,val"]
  rows += ["test/b.png,,,,,,test"]  # an image without boxes
  file = folder / "boxes.csv"
  file.write_text("\n".join(["filename,class,xmin,ymin,xmax,ymax,split", *rows]))
  splits = read(file)
  assert {split: len(table) for split, table in splits.items()} == {
    "train": 1,
    "validation": 1,
    "test": 1,
  }
  assert not splits["test"].columns["valid"].any()
  file.write_text(file.read_text().replace("Train", "tarin"))
  assert "row 2: 'tarin'; did you mean train" in told(file)


def test_corners_that_are_parts(folder):
  for split in ("train", "test"):
    write(folder, split, HEADER, ["a.png,60,40,dog,0.5,0.25,1,0.5", "b.png,60,40,dog,0,0,1,1"])
  assert "corners from 0 to 1 alone, which are parts of the image and not pixels" in told(folder)
  boxes = read(folder, parts=True)["train"].columns["boxes"]
  assert boxes.tolist() == [[[30, 10, 60, 20]], [[0, 0, 60, 40]]]


@pytest.mark.parametrize(
  ("row", "sentence"),
  [
    ("a.png,60,40,dog,x,5,30,25", "row 2: xmin is 'x'; expected a finite number"),
    ("a.png,60,40,dog,nan,5,30,25", "row 2: xmin is 'nan'"),
    ("a.png,60,40,dog,1e999,5,30,25", "row 2: xmin is '1e999'"),
    ("a.png,60,40,dog,31,5,30,25", "row 2: xmin and ymin must be below xmax and ymax"),
    ("a.png,60,40,,10,5,30,25", "row 2: class is ''; expected a name"),
    (",60,40,dog,10,5,30,25", "row 2: filename is ''; expected a name"),
    ("a\0.png,60,40,dog,10,5,30,25", "expected a name"),
    ("a.png,60,-40,dog,10,5,30,25", "a.png: its size is (-40.0, 60.0); expected pixels"),
    ("a.png,61,40,dog,10,5,30,25", "a.png is of 61x40 pixels, but "),
    ("a.png,60,40,dog,10,5,30,25,1", "row 2 has more cells than the header"),
    ("c.png,60,40,dog,10,5,30,25", "no image file at "),
    ("a.png,60,40,dog,1,1,9,9\na.png,61,40,dog,1,1,9,9", "row 3: width is 61; expected 60, as"),
    ("../../x.png,60,40,dog,10,5,30,25", "expected a file inside"),
  ],
)
def test_a_wrong_row_is_named_and_its_image_skipped(folder, row, sentence, capsys):
  write(folder, rows=[row, "b.png,60,40,dog,1,2,3,4"])
  assert sentence in told(folder, classes=("cat", "dog"))
  if "inside" not in sentence:
    assert len(read(folder, on_error="skip", classes=("cat", "dog"))["train"]) == 1
    assert sentence in capsys.readouterr().err


def test_files_that_are_no_table_of_boxes(folder, tmp_path_factory):
  write(folder, header=HEADER.replace("xmin", "xmni"))
  assert "unknown column of " in told(folder) and "'xmin'; did you mean ymin or xmni" in told(
    folder
  )
  write(folder, header=HEADER.replace("xmin", "x1").replace("height", "x_min"))
  assert "has two columns of xmin; expected one" in told(folder)
  write(folder, rows=[])
  assert "has no rows" in told(folder)
  assert "is neither a CSV file nor a folder" in told(folder / "nowhere")
  (folder / "train" / "_annotations.csv").rename(folder / "train_labels.csv")
  (folder / "test" / "_annotations.csv").rename(folder / "test_labels.csv")
  arguments = {"annotations": "{split}_labels.csv", "images": "{split}"}
  assert f'add --config.data.arguments="{arguments}"' in told(folder)
