"""Images among many that are broken, too large, or not where they seem to be."""

import struct
import zlib

import pytest

from cnnjax.errors import UserError
from tests.data.test_folder import load, save


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
