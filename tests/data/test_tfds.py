"""Sets of tensorflow-datasets, prepared here of tensors and of image files, without TensorFlow."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnjax.data.image import fit, read
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing
from configs.classification import lenet5_digits
from experiments.train import train
from tests.data.test_folder import load
from tests.data.test_stream import same

ROOT = Path(__file__).parents[2]
NAMES = ("hill", "lake", "moor")
COUNTS = {"train": 24, "test": 9, "extra": 6}


def image_of(split, place, size=(32, 32)):
  rng = np.random.default_rng([len(split), place])
  return rng.integers(0, 256, (*size, 3), np.uint8)


def encoded(split, place):
  """Returns a PNG file of 30 rows and some columns, every third one grey."""
  image, file = image_of(split, place, (30, 20 + place)), io.BytesIO()
  Image.fromarray(image[..., 0] if place % 3 == 0 else image).save(file, "PNG")
  file.seek(0)
  return file


def prepare(folder):
  """Prepares the sets `raw`, of tensors, `drawn`, of image files, and `boxed`, in a folder."""
  import tensorflow_datasets as tfds

  class Raw(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.2.0")
    code_path = None  # where a list of downloads would lie
    kind = tfds.features.Tensor(shape=(32, 32, 3), dtype=np.uint8)
    make = staticmethod(image_of)

    def _info(self):
      features = {
        "image": self.kind,
        "label": tfds.features.ClassLabel(names=NAMES),
        "place": np.int64,
        "word": tfds.features.Text(),
        "weight": np.float32,
      }
      return tfds.core.DatasetInfo(
        builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
      )

    def _split_generators(self, manager):
      return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split):
      for place in range(COUNTS[split]):
        word, weight = NAMES[place % 3], place / 2
        example = {"image": self.make(split, place), "label": place % 3, "place": place % 2}
        yield place, {**example, "word": word, "weight": weight}

  class Drawn(Raw):
    kind = tfds.features.Image(shape=(None, None, 3))
    make = staticmethod(encoded)

  class Boxed(Drawn):
    def _info(self):
      of_one = {
        "bbox": tfds.features.BBoxFeature(),
        "label": tfds.features.ClassLabel(names=NAMES),
        "is_crowd": np.bool_,
        "area": np.int64,
      }
      features = {"image": self.kind, "objects": tfds.features.Sequence(of_one)}
      features["spans"] = tfds.features.Sequence({"bbox": of_one["bbox"], "label": np.int64})
      return tfds.core.DatasetInfo(
        builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
      )

    def _generate_examples(self, split):
      for place in range(COUNTS[split]):
        box = tfds.features.BBox(ymin=0.2, xmin=0.25, ymax=0.6, xmax=1.0)
        one = {"bbox": box, "label": "lake", "is_crowd": False, "area": 9}
        flat = {**one, "bbox": tfds.features.BBox(ymin=0.5, xmin=0.0, ymax=0.5, xmax=1.0)}
        objects = [one, {**one, "label": "moor", "is_crowd": True}, flat][: place % 4]
        yield place, {"image": self.make(split, place), "objects": objects, "spans": []}

  for kind in (Raw, Drawn, Boxed):
    kind(data_dir=folder, file_format="array_record").download_and_prepare()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  folder = tmp_path_factory.mktemp("tfds")
  with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
    prepare(folder)
  return folder


def sets(root, dataset, **options):
  """Returns the splits in memory and streamed, which hold the same."""
  memory, streamed = (
    load(root, name="tfds", dataset=dataset, **options, **more)
    for more in ({}, {"stream": "threads"})
  )
  same(streamed, memory)
  return memory


def test_tensors(root):
  splits = sets(root, "raw:1.2.0")
  assert splits.keys() == {"train", "test"}
  for split, table in splits.items():
    want = np.stack([image_of(split, place) for place in range(COUNTS[split])])
    np.testing.assert_array_equal(table.columns["image"], want)
    assert table.columns["label"].tolist() == [place % 3 for place in range(COUNTS[split])]
    assert table.classes == NAMES and table.columns["label"].dtype == np.int32


def test_encoded_images_of_many_sizes(root):
  to = Preprocessing(resize=(8, 9))
  table = sets(root, "drawn", resize=(8, 9))["test"]
  want = fit([read(encoded("test", place)) for place in range(9)], to)
  np.testing.assert_array_equal(table.columns["image"], want)
  with pytest.raises(UserError, match="record 0 of train.test of drawn has 30x20 pixels and rec"):
    sets(root, "drawn")


def test_objects_become_boxes(root, capsys):
  splits = sets(root, "boxed", label="objects", resize=(10, 16))
  train, test = (splits[split].columns for split in ("train", "test"))
  assert splits["train"].classes == NAMES and len(train["image"]) == 24
  assert train["size"][:4].tolist() == [[30, 20], [30, 21], [30, 22], [30, 23]]
  box = [4, 2, 16, 6]
  np.testing.assert_allclose(train["boxes"][:3], [[[0] * 4] * 2, [box, [0] * 4], [box, box]])
  assert test["labels"][:4].tolist() == [[0, 0], [1, 0], [1, 2], [1, 2]]
  assert test["valid"].sum(1).tolist() == [0, 1, 2, 2, 0, 1, 2, 2, 0]
  assert test["crowd"][2].tolist() == [0, 1]
  unread, told = capsys.readouterr().err.splitlines()[:2]
  assert unread == "splits of boxed that are not read: extra"
  assert told == "left out 8 boxes of no area, the first in record 3 of train+test of boxed"


def test_splits_as_tfds_says_them(root):
  asked = {"train": "train[:50%]", "validation": "extra", "test": "train[-3:]"}
  splits = sets(root, "raw", splits=asked)
  assert {split: len(table) for split, table in splits.items()} == {
    "train": 12,
    "validation": 6,
    "test": 3,
  }
  np.testing.assert_array_equal(splits["test"].columns["image"][0], image_of("train", 21))
  np.testing.assert_array_equal(splits["validation"].columns["image"][5], image_of("extra", 5))
  splits = sets(root, "raw", splits={"train": "train"}, test=0.25)
  assert np.bincount(splits["test"].columns["label"]).tolist() == [2, 2, 2]


@pytest.mark.parametrize("label, classes", [("word", NAMES), ("place", ("0", "1"))])
def test_other_labels(root, label, classes):
  table = sets(root, "raw", label=label)["test"]
  assert table.classes == classes
  assert table.columns["label"].tolist() == [p % len(classes) for p in range(9)]


@pytest.mark.parametrize(
  "arguments, sentence",
  [
    ({}, "data.arguments of tfds: missing a required argument: 'dataset'"),
    ({"dataset": "row"}, "holds no set 'row', and tfds knows none of this name"),
    ({"dataset": "raw:2.0.0"}, "raw.*2.0.0"),
    ({"dataset": "mnist:3.0.1"}, "no prepared mnist:3.0.1; once, with the extra tensorflow: pyth"),
    ({"dataset": "raw", "image": "imagd"}, "unknown feature of raw 'imagd'; did you mean image"),
    ({"dataset": "raw", "label": "weight"}, "weight of raw has labels of float"),
    (
      {"dataset": "raw", "label": "image"},
      r"image of raw has shape \(32, 32, 3\); expected one value",
    ),
    ({"dataset": "raw", "image": "label"}, r"label of raw has shape \(\); expected an image"),
    (
      {"dataset": "boxed", "label": "objects", "resize": (8, 8), "places": 1},
      "record 2 of train.test of boxed has 2 boxes; set data.arguments.places to 2 or more",
    ),
    (
      {"dataset": "boxed", "label": "objects", "resize": 8, "crop": (8, 8)},
      r"set data.resize to \(height, width\)",
    ),
    (
      {"dataset": "boxed", "label": "spans", "resize": (8, 8)},
      "the objects of record 0 of train.test of boxed have labels without names",
    ),
    ({"dataset": "boxed"}, "unknown feature of boxed 'label'"),
    ({"dataset": "boxed", "image": "objects"}, "objects of boxed has shape .*expected an image"),
    ({"dataset": "raw", "splits": {"train": "trian"}}, "unknown split of raw 'trian'; did you mea"),
    ({"dataset": "raw", "splits": {"train": "train[x]"}}, r"train\[x\] is no split of raw: "),
    ({"dataset": "raw", "splits": {"trian": "train"}}, "data.arguments.splits 'trian'"),
    ({"dataset": "raw", "splits": {"test": "extra"}}, "train, test, extra, and none is train"),
    ({"dataset": "raw", "stream": "thread"}, "unknown data.arguments.stream 'thread'"),
  ],
)
def test_refusals(root, arguments, sentence):
  with pytest.raises(UserError, match=sentence):
    load(root, name="tfds", **arguments)


def test_no_root(tmp_path):
  for folder, sentence in (("", "data.root is empty; expected"), (tmp_path / "x", "is no folder")):
    with pytest.raises(UserError, match=sentence):
      load(folder, name="tfds", dataset="raw")


def test_a_set_of_another_format(root, tmp_path):
  folder = tmp_path / "raw" / "1.2.0"
  folder.mkdir(parents=True)
  for path in (root / "raw" / "1.2.0").iterdir():
    (folder / path.name.replace("array_record", "tfrecord")).write_bytes(path.read_bytes())
  info = json.loads((folder / "dataset_info.json").read_text())
  info["fileFormat"] = "tfrecord"
  (folder / "dataset_info.json").write_text(json.dumps(info))
  with pytest.raises(UserError, match="raw in .* is prepared as tfrecord, .*expected array_record"):
    load(tmp_path, name="tfds", dataset="raw")


def test_a_damaged_record(root, tmp_path):
  folder = tmp_path / "raw" / "1.2.0"
  folder.mkdir(parents=True)
  for path in (root / "raw" / "1.2.0").iterdir():
    data = bytearray(path.read_bytes())
    if "train" in path.name:
      data[len(data) // 3 : len(data) // 3 + 64] = bytes(64)
    (folder / path.name).write_bytes(data)
  with pytest.raises(UserError, match=r"record \d+ of train.test of raw in .* cannot be read"):
    load(tmp_path, name="tfds", dataset="raw")


def test_trains_from_the_records(root, tmp_path):
  config = lenet5_digits.get_config("quick")
  config.update_from_flattened_dict(
    {
      "data.name": "tfds",
      "data.root": str(root),
      "data.arguments": {"dataset": "raw", "stream": "threads"},
      "data.resize": (),
      "data.batch_size": 6,
      "data.validation": 0.25,
      "train.epochs": 2.0,
    }
  )
  _, figures = train(config, tmp_path / "run")
  assert figures["examples"] == 9 and np.isfinite(figures["loss"])


def test_reading_imports_no_tensorflow(root):
  """In a process of its own, in which an import of TensorFlow would be seen."""
  code = f"""
import sys
from tests.data.test_folder import load
for more in ({{"dataset": "raw"}}, {{"dataset": "drawn", "resize": (8, 8), "stream": "threads"}}):
  load({str(root)!r}, name="tfds", **more)["train"].columns["image"][:3]
print([name for name in sys.modules if name.partition(".")[0] in ("tensorflow", "flax")])
"""
  done = subprocess.run(
    [sys.executable, "-c", code],
    cwd=ROOT,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert "tensorflow" not in done.stdout


def test_a_system_without_array_record_is_told(tmp_path, monkeypatch):
  """As on Windows, for which it has no build."""
  monkeypatch.setattr("cnnjax.data.prepared.find_spec", lambda name: None)
  with pytest.raises(UserError, match="needs the package array_record.* no build for Windows"):
    load(tmp_path, name="tfds", dataset="no_such_set:1.0.0")
