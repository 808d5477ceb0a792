"""Videos: frames by their places from files and folders, and clips of them as a run reads them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnnjax.data import catalogue, clips, inputs, pipeline, video
from cnnjax.data.inputs import clip
from cnnjax.errors import UserError
from cnnjax.keys import defaults
from cnnjax.ops.clip import ClipPreprocessing, drawn, spread
from cnnjax.ops.preprocess import Preprocessing

GREY = Preprocessing(channels=1)


def numbered(count, size=(16, 24)):
  """Returns frames [T, H, W, 3] whose brightness is their number times 4."""
  levels = 4 * np.arange(count, dtype=np.uint8)
  return np.broadcast_to(levels[:, None, None, None], (count, *size, 3))


def folder(path, frames):
  path.mkdir(parents=True)
  for number, frame in enumerate(frames):
    Image.fromarray(frame).save(path / f"frame{number}.png")
  return path


def gif(path, frames):
  path.parent.mkdir(parents=True, exist_ok=True)
  pages = [Image.fromarray(frame) for frame in frames]
  pages[0].save(path, save_all=True, append_images=pages[1:])
  return path


def encoded(path, frames, codec="mpeg4", **options):
  av = pytest.importorskip("av", reason="PyAV is not installed: pip install .[video]")
  path.parent.mkdir(parents=True, exist_ok=True)
  with av.open(str(path), "w", options=options) as file:
    stream = file.add_stream(codec, rate=25)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    for frame in frames:
      file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
    file.mux(stream.encode())
  return path


def test_places_of_clips():
  to = ClipPreprocessing(frames=3, stride=2)  # spans five frames
  assert spread(11, to).tolist() == [[3, 5, 7]]
  several = ClipPreprocessing(frames=3, stride=2, clips=3)
  assert spread(11, several).tolist() == [[0, 2, 4], [3, 5, 7], [6, 8, 10]]
  assert spread(4, several).tolist() == [[0, 2, 3]] * 3  # the last one is repeated
  assert spread(5, ClipPreprocessing(stride=2)).tolist() == [[0, 2, 4]]
  starts = {drawn(np.random.default_rng(n), 11, to)[0] for n in range(200)}
  assert starts == set(range(7))


@pytest.mark.parametrize("make", [folder, gif, lambda p, f: encoded(p.with_suffix(".mp4"), f)])
def test_frames_by_their_places(tmp_path, make):
  """Also in the order of numbers: frame10 comes after frame2."""
  path = make(tmp_path / "one.gif", numbered(30))
  assert video.is_video(path) and video.count(path) == 30
  places = np.asarray([[2, 10, 29], [29, 0, 11]])
  found = video.read(path, places, Preprocessing(channels=3, crop=(8, 8)))
  assert found.shape == (2, 3, 8, 8, 3) and found.dtype == np.uint8
  np.testing.assert_allclose(found[..., 4, 4, :].mean(-1), 4 * places, atol=3)


@pytest.mark.parametrize(
  "suffix, codec", [(".mkv", "mpeg4"), (".avi", "mpeg4"), (".mpg", "mpeg2video")]
)
def test_formats_without_a_number_of_frames(tmp_path, suffix, codec):
  assert video.count(encoded(tmp_path / f"one{suffix}", numbered(30), codec)) == 30


def test_a_video_that_ends_early_is_named(tmp_path):
  noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8)
  whole = encoded(tmp_path / "whole.mp4", noise, movflags="faststart")
  cut = tmp_path / "cut.mp4"
  cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
  assert video.count(cut) == 40
  sentence = r"cut.mp4 ends early: it has \d+ frames .* and 40 by its header; frame 40 is needed"
  with pytest.raises(UserError, match=sentence):
    video.read(cut, np.asarray([3, 39]), GREY)
  assert video.read(cut, np.asarray([3]), GREY).shape == (1, 48, 64, 1)
  late = encoded(tmp_path / "late.mp4", noise)
  late.write_bytes(late.read_bytes()[:-1000])  # its index was at the end
  for path, sentence in (
    (late, "late.mp4 cannot be decoded: Invalid data"),
    (tmp_path / "none.mp4", "no video at .*none.mp4"),
  ):
    with pytest.raises(UserError, match=sentence):
      video.count(path)


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
  monkeypatch.setitem(__import__("sys").modules, "av", None)
  with pytest.raises(
    UserError, match=r"one.mp4 needs PyAV to be read: pip install 'cnnjax\[video\]'"
  ):
    video.count(tmp_path / "one.mp4")


def data(root, **options):
  section = defaults(input="clip").data
  with section.unlocked():
    section.update(name="clips", root=str(root), frames=4, channels=1, **options)
  return section


def tree(root, lengths=(20, 9, 12)):
  """Writes videos of two classes in two splits; the brightness of a frame is its number times 4."""
  for split in ("train", "test"):
    for name in ("fall", "rise"):
      for number, length in enumerate(lengths):
        frames = numbered(length)
        make = gif if number else folder
        make(root / split / name / (f"{number}.gif" if number else f"{number}"), frames)
  return root


def test_a_training_draws_clips_and_an_evaluation_spreads_them(tmp_path):
  splits = catalogue.load(data(tree(tmp_path), clips=3), 0)
  train, to = (
    splits["train"],
    ClipPreprocessing(frames=4, clips=3, channels=1, mean=(0.1,), std=(0.2,)),
  )
  assert train.classes == ("fall", "rise") and train.columns["label"].tolist() == [0] * 3 + [1] * 3
  column = train.columns["clip"]
  assert column.shape == (6, 3, 4, 16, 24, 1) and train.streamed == "threads"
  brightness = column[np.arange(6)][..., 0, 0, 0] / 4
  np.testing.assert_allclose(brightness[0, :, 0], [0, 8, 16], atol=0.5)
  np.testing.assert_allclose(brightness[1, :, 0], [0, 2, 5], atol=0.5)
  seen = {}
  for epoch in range(12):
    once, again = (column.drawn(np.asarray([0]), np.asarray([epoch])) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert once.shape == (1, 4, 16, 24, 1)
    first = once[0, :, 0, 0, 0] / 4
    np.testing.assert_allclose(first - first[0], range(4), atol=0.5)
    seen[epoch] = round(float(first[0]))
  assert len(set(seen.values())) > 4 and set(seen.values()) <= set(range(17))
  ready = clip.prepare(train, ClipPreprocessing(**{**vars(to), "crop": (8, 8)}))
  indices = pipeline.train_indices(ready, 4, 0)
  batches = pipeline.Batches(ready, indices, {"epoch": pipeline.train_epochs(ready, 4)})
  steps = [batches(step) for step in range(4)]
  batches.close()
  assert steps[0]["clip"].shape == (4, 4, 8, 8, 1) and set(steps[0]) == {"clip", "label", "mask"}
  for step in range(4):
    place, epoch = indices(step), np.asarray(4 * step + np.arange(4)) // 6
    want = ready.columns["clip"].drawn(place, epoch)
    np.testing.assert_array_equal(steps[step]["clip"], want)
  (batch, *_) = pipeline.eval_batches(ready, 4)
  assert batch["clip"].shape == (4, 3, 4, 8, 8, 1)
  assert inputs.parts(clip.scale(batch, to))["clip"].shape == (3, 4, 4, 8, 8, 1)


def test_mean_and_deviation_of_videos(tmp_path):
  section = data(tree(tmp_path, (8, 8)))
  found = clip.complete(section, catalogue.load(section, 0)["train"])
  assert found["channels"] == 1 and found["frames"] == 4 and found["resize"] == (16, 24)
  levels = 4 * np.arange(2, 6) / 255  # of the clip in the middle
  assert found["mean"][0] == pytest.approx(levels.mean(), abs=1e-3)
  assert found["std"][0] == pytest.approx(levels.std(), abs=1e-3)


def test_short_videos_strange_files_and_test_split(tmp_path, capfd):
  root = tree(tmp_path, (3, 20, 20, 20, 20))
  (root / "train" / "fall" / "notes.txt").write_text("")
  splits = clips.load(
    str(root / "train"), 0, to=ClipPreprocessing(frames=5, resize=(8, 8)), test=0.4
  )
  assert len(splits["train"]) == 6 and len(splits["test"]) == 4
  told = capfd.readouterr().err
  assert "1 of 6 entries of" in told and "such as notes.txt: they are not read" in told
  assert "2 of 10 videos are shorter than the 5 frames of a clip, such as" in told
  assert "0 with 3: their last frame is repeated" in told


def test_broken_videos_are_named_or_left_out(tmp_path, capfd):
  root, to = tree(tmp_path, (6, 6)), ClipPreprocessing(frames=2)
  broken = root / "train" / "rise" / "broken.gif"
  broken.write_bytes(b"GIF89a")
  with pytest.raises(UserError, match="broken.gif .*; data.arguments.on_error=skip leaves such"):
    clips.load(str(root), 0, to=to)
  splits = clips.load(str(root), 0, to=to, on_error="skip")
  assert splits["train"].columns["label"].tolist() == [0, 0, 1, 1]
  assert "left out 1 of 9 videos:" in capfd.readouterr().err


@pytest.mark.parametrize(
  "options, sentence",
  [
    (dict(to=ClipPreprocessing()), "data.frames is 0, but clips of files need their number"),
    (dict(classes=("rice",)), "unknown class of .*train 'rice'; did you mean rise"),
    (dict(stream="fibres"), "unknown data.arguments.stream 'fibres'"),
    (dict(on_error="pass"), "unknown data.arguments.on_error 'pass'"),
  ],
)
def test_wrong_arguments(tmp_path, options, sentence):
  root = tree(tmp_path, (2,))
  with pytest.raises(UserError, match=sentence):
    clips.load(str(root), 0, **{"to": ClipPreprocessing(frames=2), **options})


def test_wrong_roots(tmp_path):
  to = ClipPreprocessing(frames=2)
  (tmp_path / "empty" / "fall").mkdir(parents=True)
  for root, sentence in (
    ("", "data.root is empty; expected a folder that holds train/CLASS/VIDEO"),
    (str(tmp_path / "none"), "is no folder; expected one with a folder for each class"),
    (str(tmp_path / "empty"), "fall holds no video; expected files .mp4"),
    (str(tmp_path / "empty" / "fall"), "holds no folders; expected one for each class"),
  ):
    with pytest.raises(UserError, match=sentence):
      clips.load(root, 0, to=to)
  other = tree(tmp_path / "sizes", (4,))
  gif(other / "train" / "rise" / "9.gif", numbered(4, (10, 10)))
  splits = clips.load(str(other), 0, to=to)
  with pytest.raises(
    UserError, match="has frames of 16x24 pixels and .*9.gif of 10x10; set data.res"
  ):
    splits["train"].columns["clip"][np.arange(3)]


def test_a_users_videos(tmp_path):
  path = folder(tmp_path / "frames", numbered(20))
  to = ClipPreprocessing(frames=4, clips=2, channels=1, resize=(8, 12), crop=(8, 8))
  assert clip.whole(path) and not clip.whole(tmp_path) and not clip.whole(path / "frame0.png")
  ((name, example),) = clip.load(path, to).items()
  assert name == str(path) and example.shape == (2, 4, 8, 12, 1)
  fitted = clip.fit([example, numbered(20), numbered(20)[..., 0]], to)["clip"]
  assert fitted.shape == (3, 2, 4, 8, 8, 1)
  np.testing.assert_allclose(fitted[:, :, 0, 4, 4, 0] / 4, [[0, 16]] * 3, atol=0.5)
  single = clip.fit([numbered(20)], ClipPreprocessing(frames=4, channels=3))["clip"]
  np.testing.assert_array_equal(single[0], numbered(20)[8:12])
  assert clip.picture(example, 60).shape[1] <= 60 and clip.film(example, 10).shape[0] == 8
  np.testing.assert_array_equal(clip.invert(example), 255 - example)
  for wrong, sentence in (
    (np.zeros((4, 4)), r"clip 0 has shape \(4, 4\); expected \[T, H, W\]"),
    (np.full((2, 4, 4), 300), "an image must be uint8"),
  ):
    with pytest.raises(UserError, match=sentence):
      clip.fit([wrong], to)
  (tmp_path / "text.txt").write_text("")
  with pytest.raises(UserError, match="text.txt is no video; expected .mp4"):
    clip.load(tmp_path / "text.txt", to)


def test_all_frames_of_a_clip_change_alike():
  rng = np.random.default_rng(0)
  still = np.repeat(rng.integers(0, 256, (6, 1, 12, 12, 3), np.uint8), 5, 1)
  options = dict(
    flip=True, shift=2, crop=(0.5, 1.0), brightness=0.3, rotate=20.0, hue=0.1, blur=1.0
  )
  changed = jax.jit(lambda key, batch: clip.augment(key, batch, **options))(
    jax.random.key(0), {"clip": jnp.asarray(still), "label": jnp.arange(6)}
  )
  assert set(changed) == {"clip", "label"} and changed["clip"].dtype == jnp.uint8
  found = np.asarray(changed["clip"])
  assert (found == found[:, :1]).all() and (found != still).any((1, 2, 3, 4)).all()
