"""Windows beside images: found, cached, read from a file, moved with the pixels, and refused."""

import sys
from functools import partial

import jax
import numpy as np
import pytest

from cnnjax.data import catalogue, proposals
from cnnjax.data.augment import augment
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from tests.data.test_folder import section

SEARCH = dict(source="selective_search", mode="single")


def scene(seed):
  """Returns an image [48, 64, 3] of bright squares on a dark ground."""
  rng = np.random.default_rng(seed)
  image = rng.integers(0, 30, (48, 64, 3), np.uint8)
  for _ in range(4):
    y, x = rng.integers(0, (30, 44))
    image[y : y + 14, x : x + 14] = rng.integers(90, 255, 3)
  return image


@pytest.fixture
def splits(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  images = np.stack([scene(n) for n in range(3)])
  return {"train": Table({"image": images}), "test": Table({"image": images[::-1]})}


@pytest.fixture
def file(splits, tmp_path):
  windows = [np.asarray([[n, 0, n + 5, 9], [3, 3, 40, 40]], float)[: 2 - n % 2] for n in range(3)]
  proposals.save(tmp_path / "own.npz", splits["train"].columns["image"], windows)
  return str(tmp_path / "own.npz")


def test_the_same_set_in_the_same_order(splits, monkeypatch, capsys):
  pytest.importorskip("cv2")
  first = proposals.add(splits, 0, most=40, **SEARCH)
  assert capsys.readouterr().err.count("selective search in 3 images") == 2
  train, test = (first[name].columns for name in ("train", "test"))
  assert train["proposals"].shape == (3, 40, 4) and train["proposals"].dtype == np.float32
  assert train["proposed"].shape == (3, 40) and (train["proposed"].sum(1) > 5).all()
  np.testing.assert_array_equal(train["proposals"], test["proposals"][::-1])  # known by pixels
  real = train["proposals"][train["proposed"] > 0]
  assert (real[:, :2] < real[:, 2:]).all() and (real >= 0).all() and (real <= [64, 48] * 2).all()
  again = proposals.find(splits["train"].columns["image"], most=40, **SEARCH)  # no cache there
  np.testing.assert_array_equal(again["proposals"], train["proposals"])
  monkeypatch.setattr(proposals, "_search", None)  # from the cache now, whatever `most`
  fewer = proposals.add(splits, 0, most=5, **SEARCH)["train"].columns["proposals"]
  np.testing.assert_array_equal(fewer, train["proposals"][:, :5])
  other = proposals.add(splits, 1, most=40, **SEARCH)["train"].columns["proposals"]
  assert (other != train["proposals"]).any()


def test_grey_images_and_blank_ones(splits):
  pytest.importorskip("cv2")
  images = splits["train"].columns["image"]
  grey = proposals.search(images[..., :1], "single")
  assert all(len(boxes) for boxes in grey)
  proposals.search(np.zeros((1, 32, 32, 3), np.uint8))
  with pytest.raises(UserError, match="1 or 3 channels"):
    proposals.search(np.zeros((1, 32, 32, 2), np.uint8))


def test_processes_find_what_one_finds():
  pytest.importorskip("cv2")
  images = np.stack([scene(n) for n in range(proposals.FEW + 1)])
  many, few = proposals.search(images, "single"), proposals.search(images[:2], "single")
  assert len(many) == len(images)
  for a, b in zip(many, few):
    np.testing.assert_array_equal(a, b)


def test_a_file_knows_its_images(splits, file):
  found = proposals.add(splits, 0, source=file, most=3)
  assert found["train"].columns["proposed"].tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 0]]
  assert found["test"].columns["proposed"].tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 0]]
  assert found["test"].columns["proposals"][1].tolist() == [[1, 0, 6, 9], [0] * 4, [0] * 4]
  splits["test"].columns["image"][2, 0, 0, 0] ^= 1
  with pytest.raises(UserError, match="another image set: of the 3 of the test split it lacks 1, "):
    proposals.add({"test": splits["test"]}, 0, source=file)


def test_bad_files(splits, tmp_path):
  with pytest.raises(UserError, match="no file of proposals at"):
    proposals.add(splits, 0, source=str(tmp_path / "none.npz"))
  for name, write in (
    ("text", lambda f: f.write_text("no zip")),
    ("other", lambda f: np.savez(f, x=np.ones(3))),
    ("pickle", lambda f: np.savez(f, digests=np.asarray([{}], object), counts=[], boxes=[])),
  ):
    write(tmp_path / f"{name}.npz")
    with pytest.raises(UserError, match="cannot be read as proposals"):
      proposals.add(splits, 0, source=str(tmp_path / f"{name}.npz"))
  images = splits["train"].columns["image"]
  for boxes in ([], [np.ones((1, 4))] * 3, [np.ones((2, 3))] * 3):
    with pytest.raises(UserError, match="windows"):
      proposals.save(tmp_path / "bad.npz", images, boxes)
  assert not (tmp_path / "bad.npz").exists()


@pytest.mark.parametrize(
  "options, said",
  [
    ({}, "unknown data.proposals.source ''"),
    ({"source": "selectiv_search"}, "did you mean selective_search"),
    ({**SEARCH, "most": 0}, "most must be a whole number above 0; found 0"),
    ({**SEARCH, "mode": "slow"}, "unknown data.proposals.mode 'slow'"),
    ({**SEARCH, "mots": 3}, "data.proposals.mots"),
  ],
)
def test_options_that_are_none(splits, options, said):
  with pytest.raises(UserError, match=said):
    proposals.add(splits, 0, **options)


def test_without_opencv(splits, monkeypatch):
  monkeypatch.setitem(sys.modules, "cv2", None)
  with pytest.raises(UserError, match=r"pip install 'cnnjax\[proposals\]'"):
    proposals.add(splits, 0, **SEARCH)


def test_in_a_config(tmp_path, monkeypatch):
  data = section("", name="fake", examples=4, size=32)
  images = catalogue.load(data, 0)
  every = np.concatenate([table.columns["image"] for table in images.values()])
  proposals.save(tmp_path / "all.npz", every, [np.asarray([[0, 0, 9, 9]])] * 8)
  data.proposals, data.validation = {"source": str(tmp_path / "all.npz"), "most": 2}, 0.0
  assert catalogue.load(data, 0)["test"].columns["proposed"].tolist() == [[1, 0]] * 4
  data.resize = (16, 16)
  with pytest.raises(UserError, match="as fake reads them, 32x32; set data.resize to that"):
    catalogue.load(data, 0)


@pytest.mark.parametrize("change", [{"flip": True}, {"flip_vertical": True}, {"translate": 0.2}])
def test_windows_move_with_boxes(change):
  boxes = np.asarray([[[2, 3, 9, 14], [0, 0, 0, 0]]] * 6, np.float32)
  there = np.asarray([[1, 0]] * 6, np.float32)
  batch = {"image": np.zeros((6, 20, 24, 1), np.uint8), "boxes": boxes, "valid": there}
  batch |= {"proposals": boxes, "proposed": there}
  found = jax.jit(partial(augment, **change))(jax.random.key(0), batch)
  found = jax.tree.map(np.asarray, found)
  assert (found["boxes"] != boxes).any()
  np.testing.assert_array_equal(found["proposals"], found["boxes"])
  np.testing.assert_array_equal(found["proposed"], found["valid"])
