"""Reading image files of every kind, and bringing images to a network's size."""

import io

import numpy as np
import pytest
from PIL import Image

from cnnjax.data.image import fit, prepare, read, thumbnail
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
WHOLE = Preprocessing()  # leaves the size alone


@pytest.fixture
def saved(tmp_path):
  """Returns a function that writes an image and returns its path."""

  def save(image, name="image.png", **options):
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(tmp_path / name, **options)
    return tmp_path / name

  return save


def same(found, want):
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("name", ["image.png", "image.bmp", "image.tiff", "image.webp"])
def test_colour(saved, name):
  same(read(saved(COLOUR, name, lossless=True)), COLOUR)


@pytest.mark.parametrize("name", ["image.png", "image.bmp", "image.tiff", "image.gif"])
def test_grey(saved, name):
  same(fit([read(saved(GREY, name))], Preprocessing(channels=1))[0, ..., 0], GREY)


def test_grey_has_no_channel_and_may_be_named_by_a_string(saved):
  same(read(str(saved(GREY))), GREY)


def test_jpeg_is_near(saved):
  smooth = np.linspace(0, 255, 64).reshape(8, 8).astype(np.uint8)
  found = read(saved(smooth, "image.jpg", quality=95))
  assert found.shape == (8, 8) and np.abs(found - smooth.astype(float)).max() < 8


def test_palette_is_looked_up(saved):
  image = Image.frombytes("P", (2, 2), bytes([0, 1, 2, 1]))
  image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
  red, green, blue = [255, 0, 0], [0, 255, 0], [0, 0, 255]
  same(read(saved(image)), [[red, green], [blue, green]])


def test_transparent_palette_entry_lies_on_white(saved):
  image = Image.frombytes("P", (2, 1), bytes([0, 1]))
  image.putpalette([255, 0, 0, 0, 255, 0])
  same(read(saved(image, transparency=1)), [[[255, 0, 0], [255, 255, 255]]])


def test_alpha_lies_on_white(saved):
  alpha = np.uint8([[0, 255, 51]])
  colour = np.uint8([[[10, 20, 30]] * 3])
  found = read(saved(np.dstack([colour, alpha])))
  same(found, [[[255, 255, 255], [10, 20, 30], [206, 208, 210]]])


def test_grey_with_alpha_stays_grey(saved):
  grey_and_alpha = np.uint8([[[10, 0], [10, 255], [10, 51]]])
  same(read(saved(grey_and_alpha)), [[255, 10, 206]])


def test_sixteen_bits_are_scaled_to_eight(saved):
  levels = np.uint16([[0, 128, 129, 257 * 100, 65535]])
  same(read(saved(levels)), [[0, 0, 1, 100, 255]])
  same(read(saved(levels, "image.tiff")), [[0, 0, 1, 100, 255]])


def test_one_bit_is_black_and_white(saved):
  bits = GREY > 127
  same(read(saved(bits)), np.where(bits, 255, 0))


@pytest.mark.parametrize(
  "orientation, upright",
  [
    (1, lambda a: a),
    (2, lambda a: a[:, ::-1]),
    (3, lambda a: a[::-1, ::-1]),
    (6, lambda a: np.rot90(a, -1)),
    (8, lambda a: np.rot90(a)),
  ],
)
def test_exif_rotation_is_applied(saved, orientation, upright):
  exif = Image.Exif()
  exif[0x0112] = orientation
  same(read(saved(COLOUR, exif=exif)), upright(COLOUR))


def test_no_file(tmp_path):
  with pytest.raises(UserError, match="no image file at .*nothing.png"):
    read(tmp_path / "nothing.png")


def test_a_folder_is_no_image(tmp_path):
  with pytest.raises(UserError, match=str(tmp_path)):
    read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_no_image(tmp_path, content):
  path = tmp_path / "wrong.png"
  path.write_bytes(content)
  with pytest.raises(UserError, match="wrong.png is no image|wrong.png cannot be read"):
    read(path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "tiff"])
def test_truncated_files_are_user_errors_wherever_cut(tmp_path, kind):
  buffer, path = io.BytesIO(), tmp_path / f"cut.{kind}"
  Image.fromarray(RNG.integers(0, 256, (20, 20), dtype=np.uint8)).save(buffer, kind)
  whole = buffer.getvalue()
  for size in range(0, len(whole) // 2, 5):
    path.write_bytes(whole[:size])
    with pytest.raises(UserError, match=f"cut.{kind}"):
      read(path)


def test_fit_keeps_what_fits():
  images = RNG.integers(0, 256, (3, 6, 9, 3), dtype=np.uint8)
  same(fit(images, WHOLE), images)
  same(fit(list(images), WHOLE), images)
  same(fit(images, Preprocessing(resize=(6, 9), crop=(6, 9))), images)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_run_from_0_to_1(dtype):
  image = np.array([[0, 0.2, 0.5, 1]], dtype)
  same(fit([image], Preprocessing(channels=1))[0, ..., 0], [[0, 51, 128, 255]])


def test_every_level_survives_as_a_float():
  levels = np.arange(256, dtype=np.uint8)[None]
  same(fit([levels / np.float32(255)], Preprocessing(channels=1))[0, ..., 0], levels)


def test_grey_is_repeated_and_colour_is_weighed():
  same(fit([GREY], WHOLE)[0], np.repeat(GREY[..., None], 3, 2))
  same(fit([GREY[..., None]], WHOLE)[0], np.repeat(GREY[..., None], 3, 2))
  grey = fit([COLOUR], Preprocessing(channels=1))[0, ..., 0]
  want = COLOUR @ np.array([0.299, 0.587, 0.114])  # ITU-R 601-2 luma
  assert np.abs(grey - want).max() <= 0.51
  same(fit([np.repeat(GREY[..., None], 3, 2)], Preprocessing(channels=1))[0, ..., 0], GREY)


def test_images_of_several_kinds_make_one_batch():
  images = [GREY, COLOUR[:5], COLOUR.astype(np.float32) / 255, np.zeros((2, 30, 1))]
  found = fit(images, Preprocessing(resize=(4, 7)))
  assert found.shape == (4, 4, 7, 3) and found.dtype == np.uint8
  same(found[2], fit([COLOUR], Preprocessing(resize=(4, 7)))[0])


def test_resize_is_height_by_width_and_keeps_a_flat_image():
  found = fit([np.full((8, 8, 3), 77, np.uint8)], Preprocessing(resize=(3, 5)))
  assert found.shape == (1, 3, 5, 3) and (found == 77).all()
  ramp = np.tile(np.arange(0, 240, 30, dtype=np.uint8), (8, 1))
  found = fit([ramp], Preprocessing(resize=(4, 4), channels=1))[0, ..., 0].astype(int)
  assert (np.diff(found, axis=1) > 0).all() and (np.diff(found, axis=0) == 0).all()


def test_crop_is_cut_from_the_centre():
  images = RNG.integers(0, 256, (2, 7, 8, 3), dtype=np.uint8)
  same(fit(images, Preprocessing(crop=(3, 4))), images[:, 2:5, 2:6])
  same(fit(list(images), Preprocessing(crop=(3, 4))), images[:, 2:5, 2:6])


@pytest.mark.parametrize("crop", [(8, 9), (9, 5), (32, 32)])
def test_crop_larger_than_the_image_pads_evenly(crop):
  found = fit([COLOUR[:, :5]], Preprocessing(crop=crop))[0]
  assert found.shape == (*crop, 3)
  top, left = ((want - have) // 2 for want, have in zip(crop, (6, 5)))
  same(found[top : top + 6, left : left + 5], COLOUR[:, :5])
  assert found.astype(int).sum() == COLOUR[:, :5].astype(int).sum()


def test_resize_comes_before_crop():
  found = fit([np.full((8, 8, 3), 9, np.uint8)], Preprocessing(resize=(2, 2), crop=(4, 4)))[0]
  assert (found[1:3, 1:3] == 9).all() and found.astype(int).sum() == 9 * 4 * 3


def test_no_images_are_an_empty_batch():
  assert fit([], Preprocessing(resize=(4, 5), channels=1)).shape == (0, 4, 5, 1)
  assert fit(np.zeros((0, 4, 5, 3), np.uint8), WHOLE).shape == (0, 4, 5, 3)


@pytest.mark.parametrize(
  "image, says",
  [
    (np.zeros((4, 4), np.int32), "uint8.*found int32"),
    (np.zeros((4, 4), bool), "found bool"),
    (np.full((4, 4), 1.5), "between 0 and 1; found 1.5"),
    (np.full((4, 4), -0.1), "between 0 and 1; found -0.1"),
    (np.full((4, 4, 3), np.nan), "between 0 and 1; found nan"),
    (np.full((4, 4, 3), np.inf), "between 0 and 1; found inf"),
    (np.zeros((0, 4), np.uint8), r"found \(0, 4, 1\)"),
    (np.zeros((4, 0, 3)), r"found \(4, 0, 3\)"),
    (np.zeros(4, np.uint8), r"found \(4,\)"),
    (np.zeros((2, 4, 4, 3), np.uint8), r"found \(2, 4, 4, 3\)"),
    (np.zeros((4, 4, 2), np.uint8), r"found \(4, 4, 2\)"),
  ],
)
def test_what_is_no_image_is_a_user_error(image, says):
  with pytest.raises(UserError, match=says):
    fit([image], Preprocessing(resize=(8, 8)))


@pytest.mark.parametrize("shape", [(2, 0, 4, 3), (2, 4, 0, 3), (2, 4, 4, 0)])
def test_a_batch_of_empty_images_is_a_user_error(shape):
  with pytest.raises(UserError, match="an image must be"):
    fit(np.zeros(shape, np.uint8), Preprocessing(crop=(4, 4), channels=shape[-1]))


def test_images_of_different_sizes_need_a_resize():
  with pytest.raises(UserError, match=r"different sizes .*\(5, 9, 3\).*\(6, 9, 3\).* resize"):
    fit([COLOUR, COLOUR[:5]], WHOLE)


def test_a_table_keeps_its_other_columns():
  table = Table({"image": np.stack([GREY] * 2)[..., None], "label": np.int32([3, 1])}, ("a",) * 4)
  found = prepare(table, Preprocessing(resize=(4, 4)))
  assert found.columns["image"].shape == (2, 4, 4, 3)
  assert found.columns["label"].tolist() == [3, 1] and found.classes == table.classes


def test_float_files_are_refused(saved):
  with pytest.raises(UserError, match="float pixels"):
    read(saved(Image.fromarray(np.ones((4, 4), np.float32)), "image.tiff"))


@pytest.mark.parametrize("image", [GREY, GREY[..., None], COLOUR, COLOUR[0, 0]])
def test_a_single_image_is_to_be_put_in_a_list(image):
  with pytest.raises(UserError, match="put it in a list"):
    fit(image, WHOLE)


def test_thumbnail_keeps_the_proportions():
  assert thumbnail(np.zeros((40, 100, 3), np.uint8), 50).shape == (20, 50, 3)
  same(thumbnail(GREY, 50), GREY)
