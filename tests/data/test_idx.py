"""IDX files written here and read back, and everything that can be wrong with them."""

import gzip
import struct

import numpy as np
import pytest

from cnnjax.data import idx
from cnnjax.errors import UserError

RNG = np.random.default_rng(0)
IMAGES = {
  s: RNG.integers(0, 256, (n, 5, 4), dtype=np.uint8) for s, n in (("train", 6), ("test", 3))
}
LABELS = {"train": np.uint8([0, 1, 2, 3, 2, 1]), "test": np.uint8([3, 0, 1])}


def encode(array, kind=8):
  return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def write(path, array):
  """Writes an IDX file, gzipped where the path ends in .gz."""
  path.write_bytes(gzip.compress(encode(array)) if path.suffix == ".gz" else encode(array))
  return path


@pytest.fixture(params=["{}.gz", "{}"])
def folder(request, tmp_path):
  """Returns a folder with the four files, gzipped or plain."""
  for split, (images, labels) in idx.FILES.items():
    write(tmp_path / request.param.format(images), IMAGES[split])
    write(tmp_path / request.param.format(labels), LABELS[split])
  return tmp_path


def file(folder, part):
  (path,) = folder.glob(f"*{part}*")
  return path


def test_splits_are_what_was_written(folder):
  splits = idx.load(str(folder), 0)
  assert list(splits) == ["train", "test"]
  for name, table in splits.items():
    image, label = table.columns["image"], table.columns["label"]
    assert image.dtype == np.uint8 and label.dtype == np.int32
    np.testing.assert_array_equal(image, IMAGES[name][..., None])
    np.testing.assert_array_equal(label, LABELS[name])
    assert table.classes == ("0", "1", "2", "3")


def test_classes_are_counted_over_both_splits(folder):
  write(file(folder, "train-labels"), np.uint8([0, 1, 1, 1, 0, 1]))
  assert len(idx.load(str(folder), 0)["train"].classes) == 4


def test_names_with_a_dot_are_found_too(folder):
  for path in list(folder.iterdir()):
    array = idx.read(path)
    path.unlink()
    write(folder / path.name.removesuffix(".gz").replace("-idx", ".idx"), array)
  assert len(idx.load(str(folder), 0)["test"]) == 3


def test_a_prefix_of_the_names(folder):
  for path in list(folder.iterdir()):
    path.rename(folder / f"emnist-digits-{path.name}")
  assert len(idx.load(str(folder), 0, prefix="emnist-digits-")["train"]) == 6
  with pytest.raises(UserError, match="'prefix' in data.arguments may be 'emnist-digits-'"):
    idx.load(str(folder), 0)


def test_colour_images_keep_their_channels(folder):
  colour = RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
  write(file(folder, "train-images"), colour)
  np.testing.assert_array_equal(idx.load(str(folder), 0)["train"].columns["image"], colour)


def test_a_home_folder_is_expanded(folder, monkeypatch):
  monkeypatch.setenv("HOME", str(folder.parent))
  assert len(idx.load(f"~/{folder.name}", 0)["train"]) == 6


def test_empty_root():
  with pytest.raises(UserError, match="data.root is empty; expected the folder"):
    idx.load("", 0)


def test_missing_folder(tmp_path):
  with pytest.raises(UserError, match=f"data.root {tmp_path}/nowhere is no folder"):
    idx.load(f"{tmp_path}/nowhere", 0)


def test_a_file_is_no_folder(folder):
  with pytest.raises(UserError, match="is no folder"):
    idx.load(str(file(folder, "train-images")), 0)


@pytest.mark.parametrize("part", ["train-images", "train-labels", "t10k-images", "t10k-labels"])
def test_missing_file(folder, part):
  file(folder, part).unlink()
  with pytest.raises(UserError, match=f"{folder} has no {part}-idx.-ubyte.gz"):
    idx.load(str(folder), 0)


def test_images_and_labels_that_differ_in_number(folder):
  write(file(folder, "t10k-labels"), np.uint8([0, 1]))
  with pytest.raises(UserError, match="t10k-images.* has 3 images but .*t10k-labels.* 2 labels"):
    idx.load(str(folder), 0)


def test_images_and_labels_exchanged(folder):
  write(file(folder, "train-images"), LABELS["train"])
  with pytest.raises(UserError, match=r"train-images.* has shape \(6,\).* expected images"):
    idx.load(str(folder), 0)


def test_gzip_cut_anywhere(tmp_path):
  path = write(tmp_path / "cut.gz", IMAGES["train"])
  whole = path.read_bytes()
  for size in range(len(whole)):
    path.write_bytes(whole[:size])
    with pytest.raises(UserError, match="cut.gz"):
      idx.read(path)


def test_plain_file_cut_anywhere(tmp_path):
  path = write(tmp_path / "cut", IMAGES["test"])
  whole = path.read_bytes()
  for size in range(len(whole)):
    path.write_bytes(whole[:size])
    with pytest.raises(UserError, match="cut is (truncated|no IDX file)"):
      idx.read(path)


def test_truncated_gzip_says_so(tmp_path):
  path = write(tmp_path / "cut.gz", IMAGES["train"])
  path.write_bytes(path.read_bytes()[:-20])
  with pytest.raises(UserError, match="cut.gz is truncated"):
    idx.read(path)


def test_truncated_payload_says_what_was_promised(tmp_path):
  path = tmp_path / "short.gz"
  path.write_bytes(gzip.compress(encode(IMAGES["test"])[:-7]))
  with pytest.raises(UserError, match=r"short.gz .*promises \(3, 5, 4\), 60 bytes, and 53 follow"):
    idx.read(path)


def test_too_long_a_payload_is_damage(tmp_path):
  path = tmp_path / "long"
  path.write_bytes(encode(IMAGES["test"]) + b"x")
  with pytest.raises(UserError, match="long is truncated or damaged.* 61 follow"):
    idx.read(path)


@pytest.mark.parametrize(
  "content", [b"\x89PNG and more", b"\0\0\x0d\1\0\0\0\0", b"\0\1\x08\1\0\0\0\0"]
)
def test_wrong_magic(tmp_path, content):
  path = tmp_path / "wrong"
  path.write_bytes(content)
  with pytest.raises(UserError, match=f"wrong is no IDX file of bytes.*{content[:4].hex()}"):
    idx.read(path)


def test_a_gz_that_is_not_gzipped(tmp_path):
  path = tmp_path / "fake.gz"
  path.write_bytes(encode(IMAGES["test"]))
  with pytest.raises(UserError, match="fake.gz cannot be read"):
    idx.read(path)


def test_a_damaged_gz_never_gives_other_pixels(tmp_path):
  path = write(tmp_path / "damaged.gz", IMAGES["train"])
  whole, refused = path.read_bytes(), 0
  for place in range(len(whole)):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    try:
      np.testing.assert_array_equal(idx.read(path), IMAGES["train"])  # a byte that says nothing
    except UserError as error:
      assert "damaged.gz" in str(error)
      refused += 1
  assert refused >= len(whole) - 10


def test_other_spellings_of_splits(folder):
  for path in list(folder.iterdir()):
    path.rename(folder / path.name.replace("t10k", "Test").replace("train", "TRAIN"))
  splits = idx.load(str(folder), 0)
  assert {split: len(table) for split, table in splits.items()} == {"train": 6, "test": 3}
  write(folder / "val-images-idx3-ubyte", IMAGES["test"])
  with pytest.raises(UserError, match="has no validation-labels-idx1-ubyte.gz"):
    idx.load(str(folder), 0)
  write(folder / "val-labels-idx1-ubyte.gz", LABELS["test"])
  assert len(idx.load(str(folder), 0)["validation"]) == 3


@pytest.mark.parametrize(
  "head, sentence",
  [
    (b"", "is no IDX file of bytes: it begins with 00000000"),
    (
      struct.pack(">4B3I", 0, 0, 8, 3, 10, 28, 28),
      "promises .*7840 bytes, and at least 7841 follow",
    ),
    (
      struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**20, 28),
      "promises .* and at most [0-9]+ can f",
    ),
    (struct.pack(">4B9I", 0, 0, 8, 255, *[9] * 9), "is no IDX file of bytes"),
  ],
)
def test_a_small_file_of_many_zeros_is_refused_unread(tmp_path, head, sentence):
  path = tmp_path / "zeros.gz"
  path.write_bytes(gzip.compress(head + bytes(2**25), 9))
  with pytest.raises(UserError, match=f"zeros.gz {sentence}|zeros.gz .*{sentence}"):
    idx.read(path)


def test_more_than_the_memory_is_refused(tmp_path, monkeypatch):
  import psutil

  path = write(tmp_path / "large.gz", np.zeros((1000, 10, 10), np.uint8))
  memory = psutil.virtual_memory()._replace(total=150_000)
  monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
  with pytest.raises(UserError, match="1,000 rows of .*large.gz of 10x10 take"):
    idx.read(path)
