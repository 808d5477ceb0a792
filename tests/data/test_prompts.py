"""Objects of several data sets: masks, boxes, splits by image, and what is no set."""

import jax
import numpy as np
import pytest
from PIL import Image

from cnnjax.data import inputs, prompts
from cnnjax.data.catalogue import load
from cnnjax.data.masks import bounds
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.keys import defaults
from cnnjax.ops.prompted import PromptedPreprocessing, enclosing, moved
from cnnjax.ops.segmentation import VOID

DIGITS = ("digits", "scenes", "", dict(examples=12, scale=(0.25, 0.4)))
SOLIDS = ("solids", "solids", "", dict(examples=3))
CELLS = ("cells", "segmentation", "cells")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """A set of class maps: in each of 10 images a cell with a nucleus, and a void pixel."""
  folder = tmp_path_factory.mktemp("sets")
  for part in ("images", "masks"):
    (folder / "cells" / part).mkdir(parents=True)
  for n in range(10):
    segments = np.zeros((40, 32), np.uint8)
    segments[4 + n : 28 + n, 4:20] = 1
    segments[8 + n : 16 + n, 8:16] = 2
    segments[0, 0] = VOID
    Image.fromarray(100 * (segments % VOID)).save(folder / "cells" / "images" / f"{n}.png")
    Image.fromarray(segments).save(folder / "cells" / "masks" / f"{n}.png")
  return folder


def read(root, *sets, validation=0.0, folds=0, resize=(40, 32), jitter=0.1, **options):
  data = defaults("promptable", "prompted").data
  with data.unlocked():
    data.update(name="prompts", root=str(root), validation=validation, resize=resize, folds=folds)
    data.update(jitter=jitter, arguments=dict(sets=sets, **options))
  return load(data, 0)


def cells(*objects):
  options = dict(classes=("ground", "cytoplasm", "nucleus"), images="images", segments="masks")
  return (*CELLS, {**options, **({"objects": objects} if objects else {})})


def origins(table):
  return {name.partition("#")[0] for name in table.names}


def test_objects_of_several_sets(root):
  """Each with its image, its map and a box around it; an image is in one split alone."""
  sets = DIGITS, SOLIDS, cells()
  splits = read(root, *sets, validation=0.25, jitter=0.0, most=3)
  assert splits.keys() == {"train", "validation", "test"}
  for split, table in splits.items():
    columns = table.columns
    assert columns["image"].shape == (len(table), 40, 32, 3) and table.drawn
    assert set(columns["label"]) == {0, 1, 2} and table.classes == ("digits", "solids", "cells")
    own = [bounds((one == 1).astype(int))[0] for one in columns["segments"]]
    np.testing.assert_array_equal(columns["box"], own)
    assert ((columns["segments"] == 1).sum((1, 2)) >= 16).all()
    assert (
      len(table) > len(origins(table))
      and max(np.unique(_origin(table), return_counts=True)[1]) <= 3
    )
    others = set().union(*(origins(one) for name, one in splits.items() if name != split))
    assert not others & origins(table)
  again = read(root, *sets, validation=0.25, jitter=0.0, most=3)["test"]
  np.testing.assert_array_equal(again.names, splits["test"].names)


def _origin(table):
  return [name.partition("#")[0] for name in table.names]


def test_classes_together_are_an_object(root):
  for objects, sizes in (
    ((), {"nucleus": 64, "cytoplasm": 24 * 16 - 64}),
    ((("nucleus",), ("nucleus", "cytoplasm")), {"nucleus": 64, "nucleus+cytoplasm": 24 * 16}),
  ):
    table = read(root, cells(*objects), least=1)["train"]
    found = {name.partition("#")[2]: s for name, s in zip(table.names, table.columns["segments"])}
    assert {name: (one == 1).sum() for name, one in found.items()} == sizes
    assert (table.columns["segments"][:, 0, 0] == VOID).all()


def test_slices_of_volumes_are_images():
  """White where the solid is, and black nowhere near it."""
  splits = read("", SOLIDS, resize=(32, 32), most=100)
  image, segments = (splits["train"].columns[key] for key in ("image", "segments"))
  assert len(image) > 12 and {n.rpartition(" ")[2] for n in splits["train"].names} == {
    "ball",
    "box",
  }
  assert image[segments == 1].mean() > image[segments == 0].mean() + 40
  assert image.min() < 20 and image.max() > 235


def test_a_set_is_left_out_of_all_but_the_test(root, capsys):
  sets = DIGITS, cells()
  splits = read(root, *sets, validation=0.25, leave_out="digits", least=40)
  assert [set(splits[name].columns["label"]) for name in splits] == [{1}, {1}, {0, 1}]
  whole = read(root, *sets, validation=0.25, least=40)["test"]
  np.testing.assert_array_equal(whole.columns["box"], splits["test"].columns["box"])
  assert "objects of digits that have fewer than 40 pixels after" in capsys.readouterr().err


def test_boxes_move_within_their_bounds():
  boxes = np.float32([[10, 20, 30, 24], [0, 0, 40, 40], [39, 39, 40, 40]])
  moves = np.random.default_rng(0).uniform(-1, 1, (1000, 3, 4)).astype(np.float32)
  found = np.asarray(moved(boxes, moves, 0.2, (40, 40)))
  sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
  assert (np.abs(found - boxes) <= 0.2 * sides + 1e-4).all() and (found >= 0).all()
  assert (np.abs(found[:, 0] - boxes[0]).max(0) > 0.19 * sides[0]).all()  # of each edge
  assert (found[..., :2] < found[..., 2:]).all() and (found <= 40).all()
  assert np.asarray(enclosing(np.zeros((1, 6, 9)))).tolist() == [[0, 0, 9, 6]]


def test_a_training_has_boxes_around_what_the_augmentation_left():
  rng = np.random.default_rng(0)
  segments = np.zeros((16, 24, 24), np.uint8)
  for one, (y, x) in zip(segments, rng.integers(0, 16, (16, 2))):
    one[y : y + 5, x : x + 8] = 1
  batch = {"image": np.repeat(segments[..., None], 3, 3), "segments": segments}
  batch["box"] = np.zeros((16, 4), np.float32)
  seen = {}
  for jitter in (0.0, 0.3):
    options = dict(flip=True, rotate=90.0)
    to = PromptedPreprocessing(jitter=jitter)
    seen[jitter] = inputs.transform(jax.random.key(0), batch, preprocessing=to, options=options)
  exact = [bounds((one == 1).astype(int))[0] for one in np.asarray(seen[0.0]["segments"])]
  np.testing.assert_array_equal(seen[0.0]["box"], exact)
  assert (np.asarray(exact) != np.asarray(enclosing(segments))).any(1).sum() > 12
  assert (np.abs(np.asarray(seen[0.3]["box"]) - exact) > 0).mean() > 0.5
  assert inputs.read(seen[0.3]).keys() == {"image", "boxes"}


def test_a_table_of_another_size_is_brought_to_the_networks():
  columns = {"image": np.zeros((2, 8, 12, 3), np.uint8), "segments": np.ones((2, 8, 12), np.uint8)}
  table = Table({**columns, "box": np.float32([[3, 2, 6, 8]] * 2)})
  ready = inputs.kind("prompted").prepare(table, PromptedPreprocessing(resize=(16, 12))).columns
  assert ready["segments"].shape == (2, 16, 12) and ready["box"].tolist() == [[3, 4, 6, 16]] * 2


@pytest.mark.parametrize(
  "sets, options, sentence",
  [
    ((), {}, "must have rows of different names; found"),
    ((DIGITS, DIGITS), {}, "must have rows of different names; found"),
    ((("a", "scenes"),), {}, r"must be rows \(name, reader, root\) or .*; found \('a', 'scenes'\)"),
    ((("a", "voc", ""),), {}, "unknown reader in data.arguments.sets: 'voc'"),
    ((("a", "scenes", "", {"exmples": 3}),), {}, "data.arguments.sets, a: .*exmples"),
    ((cells(("nucleolus",)),), {}, "unknown class in the objects of cells: 'nucleolus'; did you"),
    ((DIGITS,), dict(leave_out="digit"), "leave_out: 'digit'; did you mean digits"),
    ((DIGITS,), dict(leave_out=("digits",)), "the sets digits have no object of .* in train"),
    ((DIGITS,), dict(least=10**4), "no object of 10000 pixels or more in train"),
    ((DIGITS,), dict(most=0), "data.arguments.most must be a whole number of at least 1; found 0"),
    ((DIGITS,), dict(resize=()), r"set data.resize to \(height, width\); found None"),
    ((DIGITS,), dict(resize=(32,)), "the length of one side leaves images of different sizes"),
    ((DIGITS,), dict(folds=5), "data.folds would part examples of one image of prompts"),
    ((("a", "solids", "", dict(label="class")),), {}, "a: its reader found no masks of objects"),
  ],
)  # fmt: skip
def test_what_is_no_set_is_said_in_one_sentence(root, sets, options, sentence):
  with pytest.raises(UserError, match=sentence):
    read(root, *sets, **options)


def test_every_reader_is_a_source():
  from cnnjax.data.catalogue import SOURCES

  assert prompts.READERS.keys() <= SOURCES.keys()
