"""Streamed sets: the same tables and batches as in memory, read ahead, bounded, and what breaks."""

import os
import threading
import time
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cnnjax.data import catalogue, pipeline
from cnnjax.data.image import prepare
from cnnjax.data.inputs import image as image_input
from cnnjax.data.stream import Stream, read_ahead
from cnnjax.engine.config import resolve
from cnnjax.engine.fit import plan
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing
from configs.classification import lenet5_digits
from tests.data.test_folder import load, save, section


@pytest.fixture
def given(tmp_path):
  """Fourteen images a class to train on and four to test, of mixed sizes, some of them grey."""
  for split, count in (("train", 14), ("test", 4)):
    for name in "ab":
      for number in range(count):
        colour = number % 3 > 0
        save(tmp_path / split / name / f"{number}.png", (9 + number, 12), colour)
  return tmp_path


def same(streamed, memory):
  """Asserts that splits hold the same examples, and that only one keeps them on the disk."""
  assert streamed.keys() == memory.keys()
  for split, table in streamed.items():
    image, want = table.columns["image"], memory[split].columns["image"]
    assert isinstance(image, Stream) and isinstance(want, np.ndarray)
    assert (image.shape, image.dtype, image.nbytes) == (want.shape, want.dtype, want.nbytes)
    np.testing.assert_array_equal(image.array(), want)
    np.testing.assert_array_equal(image[np.array([-1, 0, -1])], want[[-1, 0, -1]])
    assert table.columns.keys() == memory[split].columns.keys()
    for key in table.columns.keys() - {"image"}:
      np.testing.assert_array_equal(table.columns[key], memory[split].columns[key])
    assert table.classes == memory[split].classes


@pytest.mark.parametrize(
  "options",
  [
    {"resize": (8, 8)},
    {"resize": (8, 8), "channels": 1},
    {"resize": 10, "crop": (8, 8), "channels": 3},
    {"resize": (8, 8), "crop": (12, 12)},
  ],
)
def test_a_folder_is_the_same(given, options):
  streamed, memory = load(given, stream="threads", **options), load(given, **options)
  same(streamed, memory)
  to = image_input.preprocessing(section(given, **{"channels": 3, **options}))
  same(*({s: prepare(t, to) for s, t in splits.items()} for splits in (streamed, memory)))
  assert image_input.moments(streamed["train"]) == image_input.moments(memory["train"])


@pytest.mark.parametrize("changes", [{"validation": 0.25}, {"folds": 4, "fold": 1}])
def test_splits_are_the_same_and_read_nothing(given, monkeypatch, changes):
  memory = section(given, resize=(8, 8))
  streamed = section(given, resize=(8, 8), stream="threads")
  for data in (memory, streamed):
    vars(data).update(changes)
  want = catalogue.load(memory, 3)
  with monkeypatch.context() as patch:
    patch.setattr("cnnjax.data.files.read_fit", lambda path, to: pytest.fail(f"{path} is read"))
    found = catalogue.load(streamed, 3)
  same(found, want)


def test_a_csv_of_paths(given):
  rows = [f"{p.relative_to(given)},{p.parent.name}" for p in sorted(given.rglob("*.png"))]
  (given / "list.csv").write_text("\n".join(["path,label", *rows]))
  options = {"name": "csv", "resize": (8, 8)}
  same(load(given / "list.csv", stream="threads", **options), load(given / "list.csv", **options))


def test_a_folder_of_arrays(tmp_path):
  rng = np.random.default_rng(0)
  for name, count in (("train", 30), ("test", 10)):
    np.save(tmp_path / f"x_{name}.npy", rng.integers(0, 256, (count, 6, 5), np.uint8))
    np.save(tmp_path / f"y_{name}.npy", np.arange(count) % 3)
  splits = [load(tmp_path, name="npz", **more) for more in ({}, {"stream": "threads"})]
  same(splits[1], splits[0])
  folds = [s["train"].join(s["test"]).take(np.array([35, 0, 29, 30])) for s in splits]
  found, want = (table.columns["image"][:] for table in folds)
  np.testing.assert_array_equal(found, want)
  np.save(tmp_path / "x_test.npy", np.zeros((10, 6, 5)))
  with pytest.raises(UserError, match="stream needs a folder of .npy files of uint8.*x_test"):
    load(tmp_path, name="npz", stream="threads")


def config_of(root, **arguments):
  config = lenet5_digits.get_config("quick")
  config.update_from_flattened_dict(
    {
      "data.name": "folder",
      "data.root": str(root),
      "data.arguments": arguments,
      "data.resize": (32, 32),
      "data.batch_size": 6,
      "data.validation": 0.25,
    }
  )
  return config


def batches_of(root, **arguments):
  config, splits = resolve(config_of(root, **arguments))
  return plan(config, splits).batches, splits, config


def equal(found, want):
  assert found.keys() == want.keys()
  for key, column in want.items():
    assert found[key].dtype == column.dtype
    np.testing.assert_array_equal(found[key], column)


def test_batches_are_the_same_from_any_step_on(given):
  memory, splits, config = batches_of(given)
  streamed, others, of_stream = batches_of(given, stream="threads")
  assert (config.data.mean, config.data.std) == (of_stream.data.mean, of_stream.data.std)
  want = [memory(step) for step in range(12)]
  for first in (0, 7, 3):  # epochs end at 3.5, 7 and 10.5: a run resumed there, or anywhere
    for step in range(first, 12):
      equal(streamed(step), want[step])
  streamed.close()
  equal(streamed(5), want[5])
  streamed.close()
  for split in ("validation", "test"):
    pairs = zip(*(pipeline.eval_batches(s[split], 3) for s in (splits, others)), strict=True)
    for found, right in pairs:
      equal(found, right)


def test_processes_give_the_same_and_say_what_breaks(given):
  want, *_ = batches_of(given)
  found, *_ = batches_of(given, stream="processes")
  for step in (4, 5, 6, 7, 8):
    equal(found(step), want(step))
  for path in (given / "train" / "b").iterdir():
    path.write_bytes(path.read_bytes()[:60])
  with pytest.raises(UserError, match=r"train/b/\d+.png cannot be read as an image"):
    for step in range(9, 30):
      found(step)
  found.close()


def test_a_file_that_breaks_later_is_named(given):
  found, *_ = batches_of(given, stream="threads", on_error="skip")
  for path in (given / "train" / "b").iterdir():
    path.write_bytes(b"no image")
  with pytest.raises(UserError, match=r"train/b/\d+.png is no image that Pillow can read"):
    for step in range(10):
      found(step)
  found.close()


def test_a_file_that_changes_is_named(tmp_path):
  for name in "ab":
    for number in range(4):
      save(tmp_path / name / f"{number}.png")
  table = load(tmp_path, stream="threads", test=0.25)["train"]
  for path in (tmp_path / "b").iterdir():
    Image.new("RGB", (40, 40)).save(path)
  with pytest.raises(UserError, match=r"b/\d.png makes an image of \(40, 40, 3\); its header said"):
    table.columns["image"].array()


def test_what_cannot_be_read_is_left_out_as_in_memory(given, capsys):
  for name, keep in (("1", 60), ("4", 100)):  # whole headers
    path = given / "train" / "b" / f"{name}.png"
    path.write_bytes(path.read_bytes()[:keep])
  options = {"resize": (8, 8), "on_error": "skip"}
  streamed, memory = load(given, stream="threads", **options), load(given, **options)
  same(streamed, memory)
  assert len(memory["train"]) == 26
  told = capsys.readouterr().err.split("left out 2 of 36 images:\n")
  assert told[1] == told[2] and "train/b/4.png cannot be read as an image" in told[1]


def test_links_bombs_and_sizes_are_seen_at_the_start(given, tmp_path_factory):
  with pytest.raises(UserError, match="set data.resize to"):
    load(given, stream="threads")
  link = given / "train" / "a" / "x.png"
  link.symlink_to(save(tmp_path_factory.mktemp("elsewhere") / "x.png"))
  with pytest.raises(UserError, match="x.png leads to .*expected a file inside"):
    load(given, stream="threads", resize=(8, 8))


@pytest.mark.parametrize("by", ["threadz", "1", True])
def test_an_unknown_way_to_stream(given, by):
  with pytest.raises(UserError, match="unknown data.arguments.stream '.*threads"):
    load(given, resize=(8, 8), stream=by)


def test_a_source_that_cannot_stream():
  with pytest.raises(UserError, match="data.arguments of idx: .*'stream'"):
    load("", name="idx", stream="threads")


def test_only_so_much_is_made_ahead():
  lock, made = threading.Lock(), []

  def make(step):
    with lock:
      made.append(step)
    return step

  values = read_ahead(make, 3, 1000)
  assert list(islice(values, 5)) == [3, 4, 5, 6, 7]
  time.sleep(0.2)
  assert 5 <= len(made) <= 5 + os.cpu_count() + 2
  values.close()
  assert list(read_ahead(make, 3, 9)) == [3, 4, 5, 6, 7, 8]


def test_parts_of_a_column_are_read_once_and_joined():
  places = []

  def read(some):
    places.extend(some.tolist())
    return some.astype(np.uint8)[:, None]

  whole = Stream(read, np.arange(200), (1,))
  changed = whole.take(np.arange(10, 190)).join(whole.take(np.arange(5)))
  changed = changed.map(lambda rows: np.repeat(rows, 2, 1), (2,))
  assert changed.shape == (185, 2) and not places
  want = [*range(10, 190), *range(5)]
  np.testing.assert_array_equal(changed.array(), np.stack([want, want], 1))
  assert sorted(places) == sorted(want)


def test_a_set_larger_than_the_memory_is_refused(given, monkeypatch):
  monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=10_000))
  load(given, resize=(8, 8), stream="threads")
  with pytest.raises(UserError, match="36 images of 8x8x3 take 0.0 GB.*add 'stream': 'threads'"):
    load(given, resize=(8, 8))


def test_many_steps_a_dispatch_need_the_device(given):
  config = config_of(given, stream="threads")
  config.train.steps_per_dispatch = 4
  with pytest.raises(UserError, match="train.steps_per_dispatch 4 needs the images in the device"):
    plan(*resolve(config))


def test_preparing_reads_nothing():
  column = Stream(lambda places: pytest.fail("read"), np.arange(9), (6, 5, 1))
  table = prepare(pipeline.Table({"image": column}), Preprocessing(resize=8, crop=(8, 8)))
  assert table.columns["image"].shape == (9, 8, 8, 3)
