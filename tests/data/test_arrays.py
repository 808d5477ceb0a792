"""NumPy's files, zipped or memory-mapped, and what can be wrong with them."""

import pickle
import struct
import zipfile

import numpy as np
import psutil
import pytest

from cnnjax.data.arrays import arrays_of
from cnnjax.errors import UserError
from tests.data import test_folder

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (12, 6, 5), dtype=np.uint8), np.arange(12) % 3
KERAS = {"x_train": X[:8], "y_train": Y[:8], "x_test": X[8:], "y_test": Y[8:]}
MEDMNIST = {
  **{"train_images": X[:6], "train_labels": Y[:6, None], "val_images": X[6:9]},
  **{"val_labels": Y[6:9, None], "test_images": X[9:], "test_labels": Y[9:, None]},
}


def load(root, **options):
  return test_folder.load(root, name="npz", **options)


def write(path, arrays):
  """Writes a .npz file, or a folder of .npy files, and returns its path."""
  if path.suffix == ".npz":
    np.savez_compressed(path, **arrays)
  else:
    path.mkdir()
    for name, array in arrays.items():
      np.save(path / f"{name}.npy", array)
  return path


@pytest.fixture(params=["set.npz", "set"])
def place(request, tmp_path):
  return tmp_path / request.param


def same(table, image, label, classes=("0", "1", "2")):
  assert table.columns["image"].dtype == np.uint8 and table.columns["label"].dtype == np.int32
  np.testing.assert_array_equal(table.columns["image"], image)
  np.testing.assert_array_equal(table.columns["label"], label)
  assert table.classes == classes


def test_keras_layout(place):
  splits = load(write(place, KERAS))
  assert list(splits) == ["train", "test"]
  same(splits["train"], X[:8, ..., None], Y[:8])
  same(splits["test"], X[8:, ..., None], Y[8:])


def test_medmnist_layout(place):
  splits = load(write(place, MEDMNIST))
  for split, part in (("train", slice(6)), ("validation", slice(6, 9)), ("test", slice(9, 12))):
    same(splits[split], X[part, ..., None], Y[part])


def test_one_array_is_split_by_the_seed(place):
  splits = load(write(place, {"image": X, "label": Y}), test=0.25)
  assert {s: np.bincount(t.columns["label"]).tolist() for s, t in splits.items()} == {
    "train": [3, 3, 3],
    "test": [1, 1, 1],
  }


def test_bytes_in_a_folder_stay_on_the_disk(tmp_path):
  colour = RNG.integers(0, 256, (8, 6, 5, 3), dtype=np.uint8)
  image = load(write(tmp_path / "set", {**KERAS, "x_train": colour}))["train"].columns["image"]
  assert isinstance(image, np.memmap)
  np.testing.assert_array_equal(image, colour)


def test_floats_become_bytes(place):
  table = load(write(place, {**KERAS, "x_train": np.float32(X[:8] / 255)}))["train"]
  same(table, X[:8, ..., None], Y[:8])


@pytest.mark.parametrize("how", ["array", "argument", "labels"])
def test_named_classes(place, how):
  names = ("cat", "dog", "ant")
  more = {"classes": np.asarray(names)} if how == "array" else {}
  if how == "labels":
    more = {y: np.asarray(names)[KERAS[y]] for y in ("y_train", "y_test")}
  options = {"classes": names} if how == "argument" else {}
  table = load(write(place, {**KERAS, **more}), **options)["test"]
  assert [table.classes[i] for i in table.columns["label"]] == [names[i] for i in Y[8:]]
  assert table.classes == (names if how != "labels" else ("ant", "cat", "dog"))


@pytest.mark.parametrize("names", [(), ("x", "y", "z")])
def test_numbers(place, names):
  rows = RNG.normal(size=(12, 3))
  arrays = {**KERAS, "y_train": rows[:8], "y_test": rows[8:]}
  table = load(write(place, arrays), classes=names)["test"]
  np.testing.assert_array_equal(table.columns["target"], np.float32(rows[8:]))
  assert "label" not in table.columns and table.classes == (names or ("0", "1", "2"))


@pytest.mark.parametrize("shape", [(12,), (12, 1)])
def test_one_float_an_image_is_a_number(place, shape):
  values = RNG.normal(size=shape)
  table = load(write(place, {"image": X, "label": values}), test=0.25)["test"]
  assert table.columns["target"].shape == (3, 1) and table.columns["target"].dtype == np.float32


@pytest.mark.parametrize(
  "more, sentence",
  [
    ({"x_train": np.asarray([X, None], object)}, "x_train.* holds Python objects"),
    ({"y_train": np.asarray([0] * 7 + [None])}, "y_train.* holds Python objects"),
    ({"x_train": X[:7]}, r"y_train .*has shape \(8,\); expected a label for each of 7 examples"),
    ({"y_train": np.zeros((8, 3, 2))}, r"y_train .*has shape \(8, 3, 2\); expected a label"),
    ({"y_train": np.eye(3)[Y[:8]]}, r"int64 of shape \(4, 1\) in the test .*expected 3 numbers"),
    ({"y_train": [["a", "b"]] * 8}, r"has <U1 of shape \(8, 2\) in the train .*expected 2 numbers"),
    ({"y_train": [0.5] * 7 + [np.nan]}, "has nan for 0 of example 7 in the train split"),
    ({"y_train": [0.5] * 7 + [1e39]}, r"has 1e\+39 for 0 of example 7 .*expected a finite number"),
    ({"y_train": np.eye(8)[:, :2], "y_test": np.eye(4)[:, :2], "classes": ["a"]}, "expected 1 num"),
    ({"y_train": Y[:8] - 1}, "labels from -1 to 1 in the train split; expected 0 to 1"),
    ({"y_test": Y[8:] + 1}, "labels from 1 to 3 in the test split; expected 0 to 2"),
    ({"y_train": Y[:8] + 1, "y_test": Y[8:] + 1}, "no example of class 0 in the train split"),
    ({"y_train": np.append(Y[:7], 10**12)}, "no example of class 3 in the train split"),
    ({"classes": np.asarray(["a", "b"])}, "labels from 0 to 2 .*expected 0 to 1"),
    ({"x_train": X[:8, 0]}, r"x_train of .* has shape \(8, 5\); expected \[N, H, W\]"),
    ({"x_train": np.zeros((8, 3, 6, 5), np.uint8)}, "channels first; expected"),
    ({"x_train": X[:8].astype(int)}, "x_train of .*: an image must be uint8, or float"),
    ({"x_train": X[:8] / 2.0}, "x_train of .*: a float image must lie between 0 and 1"),
  ],
)
def test_refused_arrays(place, more, sentence):
  with pytest.raises(UserError, match=sentence):
    load(write(place, {**KERAS, **more}))


def test_missing_arrays(place):
  with pytest.raises(UserError, match="has an array x_train, but no y_train"):
    load(write(place, {"x_train": X}))
  with pytest.raises(UserError, match="holds a, b; expected x_train and y_train"):
    load(write(place.with_name(f"other{place.suffix}"), {"a": X, "b": X}))


def test_no_file(tmp_path):
  with pytest.raises(UserError, match="data.root is empty; expected a .npz file"):
    load("")
  with pytest.raises(UserError, match="nowhere.npz does not exist"):
    load(tmp_path / "nowhere.npz")
  with pytest.raises(UserError, match="holds no array"):
    load(tmp_path)
  np.save(tmp_path / "x_train.npy", X)
  with pytest.raises(UserError, match="x_train.npy is one array; expected a .npz file"):
    load(tmp_path / "x_train.npy")


class Trap:
  """Something that would run code when it is unpickled."""

  def __reduce__(self):
    return (pytest.fail, ("a pickle was read",))


@pytest.mark.parametrize("content", [pickle.dumps(Trap()), b"hello", b""])
def test_files_that_are_no_arrays(tmp_path, content):
  path = tmp_path / "set.npz"
  path.write_bytes(content)
  with pytest.raises(UserError, match="set.npz (holds Python objects|cannot be read)"):
    load(path)


def test_a_zip_that_is_cut_or_damaged(tmp_path):
  path = write(tmp_path / "set.npz", KERAS)
  whole, rng = path.read_bytes(), np.random.default_rng(0)
  for size in range(0, len(whole), 37):
    path.write_bytes(whole[:size])
    with pytest.raises(UserError, match="set.npz"):
      load(path)
  for place in rng.integers(0, len(whole), 100):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    try:
      load(path)  # a byte that says nothing
    except UserError as error:
      assert "set.npz" in str(error)


def test_names_of_any_spelling(place, capsys):
  named = {"X_Train": X[:6], "Y_Train": Y[:6], "x_valid": X[6:9], "y_valid": Y[6:9]}
  named |= {"TEST_images": X[9:], "ids": Y}
  with pytest.raises(UserError, match="has an array TEST_images, but no test_labels"):
    load(write(place, named))
  place = place.with_name(f"other{place.suffix}")
  splits = load(write(place, {**named, "Test_Labels": Y[9:]}))
  assert {split: len(table) for split, table in splits.items()} == {
    **{"train": 6, "validation": 3, "test": 3}
  }
  assert f"arrays of {place} that are not read: ids" in capsys.readouterr().err


def test_two_arrays_of_one_split(place):
  more = {"x_val": X, "y_val": Y, "x_dev": X, "y_dev": Y}
  with pytest.raises(UserError, match="has both x_(val|dev) and x_(val|dev), of one split"):
    load(write(place, {**KERAS, **more}))


def test_labels_as_text_are_names(place):
  spelt = np.asarray(["00", "0", "1.0"])
  table = load(write(place, {**KERAS, "y_train": spelt[Y[:8]], "y_test": spelt[Y[8:]]}))["test"]
  assert table.classes == ("0", "00", "1.0")


def test_large_unsigned_labels_are_told_as_they_are(place):
  with pytest.raises(UserError, match="labels from 0 to 18446744073709551615 in the test split"):
    load(write(place, {**KERAS, "y_test": np.array([0, 1, 2, 2**64 - 1], "u8")}))


def zipped(path, header, body, name="x_train.npy"):
  """Writes a .npz whose array x_train has this header."""
  write(path, {key: array for key, array in KERAS.items() if key != "x_train"})
  head = header.encode().ljust(118) + b"\n"
  with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
    file.writestr(name, b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + body)
  return path


@pytest.mark.parametrize(
  "shape, sentence",
  [
    (
      "(8, 1000000, 1000000)",
      "is damaged: its header promises .*8,000,000,000,000 bytes, in a part",
    ),
    ("(8, -6, 5)", "x_train of .*set.npz"),
    (f"({'9' * 50},)", "is damaged: its header promises"),
    ("(8, 6, 5)", "is damaged: its header promises .*240 bytes, in a part of 129"),
  ],
)
def test_headers_that_promise_more_than_there_is(tmp_path, shape, sentence):
  header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"
  with pytest.raises(UserError, match=sentence):
    load(zipped(tmp_path / "set.npz", header, b"x" * 239 if "8, 6" not in shape else b""))


def test_arrays_that_unpack_to_more_than_the_memory(tmp_path, monkeypatch):
  header = "{'descr': '|u1', 'fortran_order': False, 'shape': (8, 1000, 1000)}"
  path = zipped(tmp_path / "set.npz", header, bytes(8_000_000))
  memory = psutil.virtual_memory()._replace(total=10_000_000)
  monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
  for read in (load, arrays_of):
    with pytest.raises(
      UserError, match="8 rows in x_train of .*set.npz of 1000x1000x1 take 0.0 GB"
    ):
      read(path)


def test_a_member_that_is_no_array_is_not_unpacked(tmp_path):
  path = write(tmp_path / "set.npz", {"y_train": Y})
  with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
    file.writestr("x_train", bytes(10_000_000))
    file.writestr("__MACOSX/._y_train.npy", b"x")
  with pytest.raises(UserError, match="x_train of .*set.npz cannot be read as a NumPy array"):
    load(path)


def test_a_folder_from_a_mac(tmp_path):
  path = write(tmp_path / "set", KERAS)
  (path / "._x_train.npy").write_bytes(b"x")
  assert len(load(path)["train"]) == 8
