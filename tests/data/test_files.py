"""Images among many that are broken, too large, or not where they seem to be."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cnnjax.errors import UserError
from tests.data.test_folder import RNG, load, save


@pytest.fixture
def given(tmp_path):
  """A folder with twelve images of three classes to train on, and six to test."""
  for split, count in (("train", 4), ("test", 2)):
    for name in ("ant", "bee", "cat"):
      for number in range(count):
        save(tmp_path / split / name / f"{number}.png")
  return tmp_path


def bomb(path, side=50_000):
  """Writes a PNG of a few bytes that would decode to side x side pixels."""

  def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

  head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
  body = chunk(b"IDAT", zlib.compress(bytes(1000)))
  path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b""))


def test_broken_images_are_left_out_on_request_and_counted(given, capsys):
  (given / "train" / "bee" / "2.png").write_bytes(b"no image")
  bomb(given / "test" / "cat" / "1.png")
  splits = load(given, on_error="skip")
  assert splits["train"].columns["label"].tolist() == [0] * 4 + [1] * 3 + [2] * 4
  assert splits["test"].columns["label"].tolist() == [0, 0, 1, 1, 2]
  told = capsys.readouterr().err.splitlines()
  assert told[0] == "left out 2 of 18 images:" and len(told) == 3
  assert "train/bee/2.png is no image" in told[1] and "test/cat/1.png would decode" in told[2]


def test_whole_images_say_nothing(given, capsys):
  load(given, on_error="skip")
  assert capsys.readouterr().err == ""


def test_a_class_that_is_left_out_whole(given):
  for path in (given / "test" / "bee").iterdir():
    path.write_bytes(b"no image")
  with pytest.raises(UserError, match="no image of class bee in the test split can be read"):
    load(given, on_error="skip")
  for path in given.rglob("*.png"):
    path.write_bytes(b"no image")
  with pytest.raises(UserError, match="none of the 18 images can be read; .*ant/0.png is no image"):
    load(given, on_error="skip")


def test_an_unknown_way_with_errors(given):
  with pytest.raises(UserError, match="unknown data.arguments.on_error 'skipp'; did you mean skip"):
    load(given, on_error="skipp")


def test_gigapixels_are_refused(given):
  bomb(given / "test" / "cat" / "1.png")
  with pytest.raises(UserError, match="1.png would decode to more than 178,956,970 pixels"):
    load(given)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_links_stay_inside_the_root(given, tmp_path_factory, on_error):
  (given / "test" / "cat" / "2.png").symlink_to(given / "test" / "cat" / "1.png")
  assert len(load(given, on_error=on_error)["test"]) == 7
  elsewhere = save(tmp_path_factory.mktemp("elsewhere") / "x.png")
  (given / "test" / "cat" / "3.png").symlink_to(elsewhere)
  with pytest.raises(UserError, match=f"3.png leads to {elsewhere}; expected a file inside"):
    load(given, on_error=on_error)


def test_the_root_may_be_a_link(given, tmp_path_factory):
  link = tmp_path_factory.mktemp("links") / "root"
  link.symlink_to(given)
  assert len(load(link)["test"]) == 6


def test_the_few_of_another_size_are_left_out_on_request(given, capsys):
  odd = save(given / "train" / "bee" / "0.png", (9, 7))
  with pytest.raises(UserError, match="9x7; set data.resize"):
    load(given)
  assert len(load(given, on_error="skip")["train"]) == 11
  assert f"{odd} has 9x7 pixels; expected 6x5, as most" in capsys.readouterr().err
  for path in list(given.rglob("*.png"))[::2]:
    save(path, (8, 8))
  with pytest.raises(UserError, match="set data.resize"):
    load(given, on_error="skip")


@pytest.mark.parametrize("stream", ["", "threads"])
def test_the_way_to_leave_a_broken_file_out_is_told(given, stream):
  path = given / "test" / "bee" / "0.png"
  path.write_bytes(path.read_bytes()[:-30])
  with pytest.raises(UserError, match="0.png cannot be read.*data.arguments.on_error=skip"):
    load(given, stream=stream)["test"].columns["image"][:]


def test_many_faults_are_counted_and_some_named(given, capsys):
  for number in range(30):
    (given / "train" / "bee" / f"b{number}.png").write_bytes(b"x")
  load(given, on_error="skip")
  told = capsys.readouterr().err.splitlines()
  assert told[0] == "left out 30 of 48 images:" and told[-1] == "and 10 more" and len(told) == 22


def test_frames_that_are_not_read_are_told(given, capsys):
  first = Image.fromarray(RNG.integers(0, 256, (6, 5), dtype=np.uint8))
  for kind in ("gif", "tiff"):
    path = given / "test" / "bee" / f"x.{kind}"
    first.save(path, save_all=True, append_images=[first.rotate(180)])
  table = load(given)["test"]
  assert "2 images hold several frames or pages, of which the first" in capsys.readouterr().err
  place = table.names.tolist().index("test/bee/x.tiff")
  np.testing.assert_array_equal(table.columns["image"][place, ..., 0], first)


def test_examples_have_the_names_of_their_files(given):
  (given / "train" / "bee" / "2.png").write_bytes(b"no image")
  splits = load(given, on_error="skip")
  assert splits["train"].names[3:8].tolist() == [
    *(f"train/{name}" for name in ("ant/3.png", "bee/0.png", "bee/1.png", "bee/3.png", "cat/0.png"))
  ]
