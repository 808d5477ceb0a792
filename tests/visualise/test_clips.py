"""Films of clips, and key frames of videos."""

import numpy as np
from PIL import Image

import cnnjax
from cnnjax.visualise.film import save_film
from cnnjax.visualise.key_frames import changes, features, key_frames, summary


def scenes():
  """Returns 30 frames of three scenes that begin at 0, 8 and 20, with a little noise."""
  rng = np.random.default_rng(0)
  pictures = rng.integers(0, 200, (3, 20, 24, 3), np.uint8)
  which = np.repeat([0, 1, 2], [8, 12, 10])
  return (pictures[which] + rng.integers(0, 3, (30, 20, 24, 3))).astype(np.uint8)


def test_a_film_is_its_frames_with_a_caption(tmp_path):
  for frames, grey in ((scenes(), False), (scenes()[..., 0], True)):
    save_film(frames, "down left  98.1%\nclip.mp4", tmp_path / "film.gif", rate=10)
    with Image.open(tmp_path / "film.gif") as film:
      assert film.n_frames == 30 and film.info["duration"] == 100 and film.info["loop"] == 0
      assert film.width == 8 * 24 and film.height > 8 * 20  # enlarged, and the caption below
      film.seek(25)
      page = np.asarray(film.convert("RGB")).astype(int)
    want = frames[25] if not grey else frames[25][..., None]
    assert np.abs(page[4 : 8 * 20 : 8, 4::8] - want).mean() < 30  # of 256 colours
    assert (page[8 * 20 :] < 100).any() and (page[8 * 20 :] > 200).any()
  assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]


def test_key_frames_are_where_scenes_begin():
  change = changes(features(scenes()))
  assert change.shape == (30,) and change[0] == 0
  assert key_frames(change, 3).tolist() == [0, 8, 20]
  assert key_frames(change, 2, apart=5).tolist() in ([0, 8], [0, 20])
  assert key_frames(np.asarray([0, 5, 4, 0.0, 3]), 9, apart=2).tolist() == [0, 2, 4]
  assert key_frames(np.zeros(4), 3).tolist() == [0]  # a still video
  figure = summary(scenes(), change, count=3, rate=25)
  titles = [axes.get_title().split("\n")[0] for axes in figure.axes if axes.get_title()]
  assert titles == ["0.0 s", "0.3 s", "0.8 s"]


def test_features_may_be_a_networks():
  import jax

  model = cnnjax.create_model("resnet20_cifar", num_classes=2)
  variables = model.init(jax.random.key(0), np.zeros((1, 32, 32, 3)), train=False)
  found = features(scenes(), model, variables)
  assert found.shape == (30, 64)
  assert key_frames(changes(found), 3).tolist() == [0, 8, 20]


def test_a_video_is_summarised_by_a_command(tmp_path):
  from tests.experiments.test_scripts import command

  folder = tmp_path / "frames"
  folder.mkdir()
  for n, frame in enumerate(scenes()):
    Image.fromarray(frame).save(folder / f"{n}.png")
  done = command("key_frames", folder, f"--out={tmp_path / 'sheet.png'}", "--count=3")
  assert done.returncode == 0, done.stderr
  assert Image.open(tmp_path / "sheet.png").size > (200, 100)
  done = command("key_frames", tmp_path / "none.mp4")
  assert done.returncode == 2 and "none.mp4 is no video; expected .mp4" in done.stderr
