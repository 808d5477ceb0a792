"""Image folders of both layouts, of mixed sizes and kinds, and what can be wrong with them."""

import os

import numpy as np
import pytest
from PIL import Image

from cnnjax.data import catalogue
from cnnjax.data.image import fit, prepare, read
from cnnjax.data.inputs.image import preprocessing
from cnnjax.errors import UserError
from cnnjax.keys import defaults
from cnnjax.ops.preprocess import Preprocessing

RNG = np.random.default_rng(0)


def section(root, resize=(), crop=(), channels=0, name="folder", **arguments):
  """Returns a config's data section."""
  data = defaults().data
  with data.unlocked(), data.ignore_type():
    data.update(name=name, root=str(root), resize=resize, crop=crop, channels=channels)
    data.arguments = arguments
  return data


def load(root, seed=0, **options):
  return catalogue.load(section(root, **options), seed)


def save(path, size=(6, 5), colour=True):
  """Writes an image of random pixels and returns its path."""
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = (*size, 3) if colour else size
  Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(path)
  return path


@pytest.fixture
def given(tmp_path):
  """A folder with the splits train and test of three classes."""
  for split, count in (("train", 4), ("test", 2)):
    for name in ("cat", "ant", "bee"):
      for number in range(count):
        save(tmp_path / split / name / f"{number}.png")
  return tmp_path


@pytest.fixture
def flat(tmp_path):
  """A folder of two classes."""
  for name, count in (("b", 20), ("a", 10)):
    for number in range(count):
      save(tmp_path / name / f"{number}.png")
  return tmp_path


def same(table, files, classes):
  """Asserts that a table holds these files, in order."""
  assert table.classes == classes and table.columns["label"].dtype == np.int32
  assert [classes[i] for i in table.columns["label"]] == [path.parent.name for path in files]
  np.testing.assert_array_equal(table.columns["image"], np.stack([read(path) for path in files]))


def test_given_splits(given):
  splits, classes = load(given), ("ant", "bee", "cat")
  assert splits.keys() == {"train", "test"}
  for split, table in splits.items():
    same(table, [p for c in classes for p in sorted((given / split / c).iterdir())], classes)


@pytest.mark.parametrize("name", ["validation", "val"])
def test_given_validation(given, name):
  files = [save(given / name / c / "x.png") for c in ("ant", "bee", "cat")]
  splits = load(given)
  same(splits["validation"], files, ("ant", "bee", "cat"))
  assert (len(splits["train"]), len(splits["test"])) == (12, 6)


def examples(splits):
  return sorted(i.tobytes() for table in splits.values() for i in table.columns["image"])


def test_a_folder_of_classes_is_split_by_the_seed(flat):
  splits = load(flat)
  assert {s: np.bincount(t.columns["label"]).tolist() for s, t in splits.items()} == {
    "train": [8, 16],
    "test": [2, 4],
  }
  assert examples(splits) == sorted(read(path).tobytes() for path in flat.rglob("*.png"))
  tests = [load(flat, seed)["test"].columns["image"] for seed in (0, 1)]
  np.testing.assert_array_equal(tests[0], splits["test"].columns["image"])
  assert (tests[0] != tests[1]).any()
  assert len(load(flat, test=0.5)["test"]) == 15


def test_a_train_folder_alone_is_split_too(flat):
  (flat / "train").mkdir()
  for name in "ab":
    (flat / name).rename(flat / "train" / name)
  assert {split: len(table) for split, table in load(flat).items()} == {"train": 24, "test": 6}


def test_chosen_classes_keep_their_order(given):
  save(given / "train" / "dog" / "only_in_train.png")
  splits = load(given, classes=("cat", "ant"))
  for split, table in splits.items():
    files = [p for c in ("cat", "ant") for p in sorted((given / split / c).iterdir())]
    same(table, files, ("cat", "ant"))


def test_classes_named_by_numbers(tmp_path):
  for name in ("0", "1", "10"):
    save(tmp_path / "train" / name / "x.png")
    save(tmp_path / "test" / name / "x.png")
  assert load(tmp_path, classes=(10, 0))["test"].classes == ("10", "0")


def test_hidden_and_other_files_are_passed_over(given):
  wanted = examples(load(given))
  for name in ("train/.cache/x.png", "train/ant/.x.png", "train/ant/notes.txt", "train/readme.md"):
    (given / name).parent.mkdir(exist_ok=True)
    (given / name).write_text("no image")
  assert examples(load(given)) == wanted


def test_sizes_and_kinds_mix(given):
  grey, wide = (
    save(given / "test" / "ant" / "g.PNG", (9, 4), False),
    given / "test" / "ant" / "g.PNG",
  )
  to = Preprocessing(resize=(8, 7))
  table = load(given, resize=(8, 7))["test"]
  assert table.columns["image"].shape == (7, 8, 7, 3)
  np.testing.assert_array_equal(table.columns["image"][2], fit([read(grey)], to)[0])
  assert load(given, resize=(8, 7), channels=1)["train"].columns["image"].shape == (12, 8, 7, 1)
  with pytest.raises(UserError, match=rf"6x5 pixels and {wide} 9x4; set data.resize"):
    load(given)


def test_grey_stays_grey_unless_colour_is_wanted(tmp_path):
  for split in ("train", "test"):
    files = [save(tmp_path / split / c / "x.png", colour=False) for c in "ab"]
  image = load(tmp_path)["test"].columns["image"]
  np.testing.assert_array_equal(image[..., 0], np.stack([read(path) for path in files]))
  assert image.shape == (2, 6, 5, 1)
  assert load(tmp_path, channels=3)["test"].columns["image"].shape == (2, 6, 5, 3)


@pytest.mark.parametrize(
  "resize, crop", [((12, 10), (8, 8)), ((6, 6), (10, 10)), (12, (8, 8)), ((12,), (12, 12))]
)
def test_resized_on_reading_or_later_is_the_same(tmp_path, resize, crop):
  for split in ("train", "test"):
    files = [
      save(tmp_path / split / c / "x.png", s) for c, s in zip("abc", [(20, 30), (26, 18), (9, 9)])
    ]
  data = section(tmp_path, resize=resize, crop=crop, channels=3)
  found = prepare(catalogue.load(data, 0)["test"], preprocessing(data))
  want = fit([read(path) for path in files], preprocessing(data))
  np.testing.assert_array_equal(found.columns["image"], want)


def test_folds_of_a_folder(flat):
  data, whole, tests = section(flat), examples(load(flat)), []
  for fold in range(5):
    data.fold, data.folds = fold, 5
    splits = catalogue.load(data, 0)
    assert examples(splits) == whole
    assert np.bincount(splits["test"].columns["label"]).tolist() == [2, 4]
    tests += [i.tobytes() for i in splits["test"].columns["image"]]
  assert sorted(tests) == whole


def test_a_broken_file_is_named(given):
  (given / "test" / "bee" / "0.png").write_bytes(b"no image")
  with pytest.raises(UserError, match="test/bee/0.png is no image"):
    load(given)


def test_no_root(tmp_path):
  with pytest.raises(UserError, match="data.root is empty; expected a folder"):
    load("")
  with pytest.raises(UserError, match="data.root .*nowhere is no folder"):
    load(tmp_path / "nowhere")
  with pytest.raises(UserError, match=f"{tmp_path} holds no folders"):
    load(tmp_path)


def test_classes_that_differ(given):
  save(given / "test" / "dog" / "x.png")
  for path in (given / "test" / "ant").iterdir():
    path.unlink()
  with pytest.raises(UserError, match="test/ant holds no image; expected files .png"):
    load(given, classes=("ant", "bee"))
  (given / "test" / "ant").rmdir()
  with pytest.raises(
    UserError, match="test and that of train differ in the class folders ant, dog"
  ):
    load(given)
  with pytest.raises(UserError, match="unknown class of .*test 'ant'"):
    load(given, classes=("ant", "bee"))


def test_a_test_folder_without_train(given):
  (given / "train").rename(given / "learning")
  with pytest.raises(UserError, match="has a folder test, but none named train"):
    load(given)


@pytest.mark.parametrize("names", [("Training", "VALID", "Testing"), ("TRAIN", "Dev", "test_set")])
def test_splits_of_any_spelling(given, names):
  (given / "train").rename(given / names[0])
  (given / "test").rename(given / names[2])
  for name in ("ant", "bee", "cat"):
    save(given / names[1] / name / "x.png")
  found = {split: len(table) for split, table in load(given).items()}
  assert found == {"train": 12, "validation": 3, "test": 6}


def test_a_split_of_two_spellings(given):
  for name in ("val", "valid"):
    (given / name).mkdir()
  with pytest.raises(UserError, match="val and .*valid are both the validation split"):
    load(given)


def test_a_folder_in_a_folder_of_its_name(given):
  for split in ("train", "test"):
    (given / split).rename(given / "moved")
    (given / split).mkdir()
    (given / "moved").rename(given / split / split)
  assert {split: len(table) for split, table in load(given).items()} == {"train": 12, "test": 6}


def test_a_class_that_is_called_as_a_split(tmp_path, capsys):
  for name in ("car", "plane", "train"):
    for number in range(4):
      save(tmp_path / name / f"{number}.png")
  assert load(tmp_path, test=0.25)["train"].classes == ("car", "plane", "train")
  assert "train holds no folders: it is read as a class" in capsys.readouterr().err


def test_images_in_subfolders_of_a_class(given):
  wanted = examples(load(given))
  for place, path in enumerate(sorted(given.rglob("*.png"))):
    new = path.parent / ("images", "more/deep", "")[place % 3] / path.name
    new.parent.mkdir(parents=True, exist_ok=True)
    path.rename(new)
  splits = load(given)
  assert examples(splits) == wanted
  assert np.bincount(splits["train"].columns["label"]).tolist() == [4, 4, 4]
  assert "train/ant/images/0.png" in splits["train"].names


def test_links_in_a_circle_end(given):
  (given / "train" / "ant" / "more").symlink_to(given / "train")
  (given / "train" / "ant" / "self").symlink_to(given / "train" / "ant")
  assert len(load(given, classes=("ant", "bee"))["test"]) == 4


@pytest.mark.parametrize(
  "suffix", ["ppm", "pgm", "pbm", "pnm", "jfif", "jp2", "tif", "TIFF", "jpe", "tga", "dib", "WebP"]
)
def test_suffixes(given, suffix):
  plain = Image.new("1" if suffix == "pbm" else "L" if suffix == "pgm" else "RGB", (5, 6))
  plain.save(given / "test" / "ant" / f"y.{suffix}")
  assert len(load(given)["test"]) == 7


def test_what_is_not_read_is_counted(given, capsys):
  load(given)
  assert capsys.readouterr().err == ""
  for name in ("extra/a.png", "train/ant/a.heic", "train/ant/b.heic", "notes", "train/ant/.b.png"):
    (given / name).parent.mkdir(exist_ok=True)
    (given / name).write_bytes(b"x")
  for name in ("._0.png", ".DS_Store", "Thumbs.db", "__MACOSX/x.png", ".git/x.png"):
    (given / "train" / "ant" / name).parent.mkdir(exist_ok=True)
    (given / "train" / "ant" / name).write_bytes(b"x")
  table = load(given)["train"]
  assert len(table) == 12
  assert table.unread == {".heic": 2, ".png": 2, "without suffix": 1}  # for data.json
  told = capsys.readouterr().err.splitlines()
  assert told == [
    f"not read below {given}: 2 .heic (such as train/ant/a.heic), 2 .png (such as extra/a.png), "
    "1 without suffix (notes)"
  ]


def test_folders_that_systems_leave_are_no_classes(given):
  for name in ("__MACOSX", "@eaDir", "._ant", ".ipynb_checkpoints"):
    (given / "train" / name).mkdir()
  save(given / "train" / "_other" / "x.png")
  save(given / "test" / "_other" / "x.png")
  assert load(given)["test"].classes == ("_other", "ant", "bee", "cat")


def test_classes_of_another_form_of_unicode(given):
  (given / "train" / "ant").rename(given / "train" / "caf\u00e9")
  (given / "test" / "ant").rename(given / "test" / "cafe\u0301")
  for classes in ((), ("bee", "cafe\u0301"), ("bee", "caf\u00e9")):
    assert "caf\u00e9" in load(given, classes=classes)["test"].classes
  save(given / "train" / "cafe\u0301" / "x.png")
  assert np.bincount(load(given)["train"].columns["label"]).tolist() == [4, 5, 4]


def test_a_class_whose_name_is_no_text(given):
  os.mkdir(os.fsencode(given / "train") + b"/caf\xe9")
  with pytest.raises(UserError, match=r"train holds a folder whose name is no UTF-8: 'caf.udce9'"):
    load(given)


def test_a_root_that_lies_one_folder_deeper(given):
  (given / "set").mkdir()
  for split in ("train", "test"):
    (given / split).rename(given / "set" / split)
  with pytest.raises(
    UserError, match="set is no class: it holds the folders test, train; is it th"
  ):
    load(given)
  save(given / "other" / "x.png")
  with pytest.raises(UserError, match="set is no class"):
    load(given)


def test_classes_with_the_same_subfolders_are_told(given, capsys):
  (given / "train").rename(given / "near")
  (given / "test").rename(given / "far")
  assert load(given)["test"].classes == ("far", "near")
  assert "has the same subfolders ant, bee, cat, all of which are read" in capsys.readouterr().err
  (given / "near").rename(given / "images")
  (given / "far").rename(given / "masks")
  with pytest.raises(UserError, match="holds the folders images, masks, which are no classes"):
    load(given)


def test_pipes_and_broken_links(given):
  os.mkfifo(given / "train" / "ant" / "pipe.png")
  assert len(load(given)["train"]) == 12
  (given / "train" / "ant" / "link.png").symlink_to(given / "nothing.png")
  with pytest.raises(UserError, match="no image file at .*link.png"):
    load(given)
  assert len(load(given, on_error="skip")["train"]) == 12


@pytest.mark.parametrize(
  "options, sentence",
  [
    ({"classes": ("ant", "beee")}, "unknown class of .*train 'beee'; did you mean bee"),
    ({"classes": ("ant", "ant")}, "names a class twice: ant, ant"),
    ({"classes": "ant"}, "classes must be a tuple of names, found 'ant'"),
    ({"to": 3}, "data.arguments of folder: .*'to'"),
    ({"split": 3}, "data.arguments of folder: .*'split'"),
    ({"resize": (8,)}, "data.resize 8 is the length of the shorter side; set data.crop"),
    ({"resize": (8, 0)}, r"data.resize must be \(height, width\) .*found \(8, 0\)"),
    ({"crop": (8,)}, r"data.crop must be \(height, width\) .*found \(8,\)"),
  ],
)
def test_refusals(given, options, sentence):
  with pytest.raises(UserError, match=sentence):
    load(given, **options)


@pytest.mark.parametrize("fraction", [0, 1, None, 0.01])
def test_an_impossible_test_part(flat, fraction):
  with pytest.raises(UserError, match="hold out"):
    load(flat, test=fraction)
