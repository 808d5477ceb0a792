"""Series of volumes: as arrays, as NIfTI files, and as folders of those."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from cnnjax.data import inputs, series_folder
from cnnjax.data.inputs import volume_series
from cnnjax.data.stream import Stream
from cnnjax.data.table import Table
from cnnjax.engine.config import resolve
from cnnjax.errors import UserError
from cnnjax.keys import defaults
from cnnjax.ops.volume_series import VolumeSeriesPreprocessing

RNG = np.random.default_rng(0)
SERIES = RNG.normal(900, 200, (4, 5, 6, 1)) + RNG.normal(0, 9, (7, 4, 5, 6, 1))  # [T, D, H, W, C]


def save(path, series):
  """Writes a series [T, D, H, W] whose width grows to the left, as most scanners do."""
  path.parent.mkdir(parents=True, exist_ok=True)
  voxels = series.transpose(3, 2, 1, 0)[::-1].astype(np.float32)
  nib.save(nib.Nifti1Image(voxels, np.diag([-3.0, 3.0, 4.0, 1.0])), path)
  return path


def fit(series, **options):
  return volume_series.fit([series], VolumeSeriesPreprocessing(**options))["volume_series"][0]


def test_a_series_is_normalised_by_what_is_kept_of_its_time():
  whole, short = fit(SERIES), fit(SERIES, length=3)
  np.testing.assert_allclose(whole, (SERIES - SERIES.mean()) / SERIES.std(), atol=1e-5)
  np.testing.assert_allclose(short, fit(SERIES[:3]), atol=0)
  np.testing.assert_allclose(fit(3 * SERIES[..., 0] - 70), whole, atol=1e-4)  # in any unit
  assert whole.dtype == np.float32 and not fit(np.full((2, 3, 3, 3), 5)).any()


def test_without_their_means_over_time_voxels_show_their_changes():
  found = fit(SERIES, centred=True)
  np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
  change = SERIES - SERIES.mean(0)
  np.testing.assert_allclose(found, change / change.std(), atol=1e-4)


def test_series_are_cut_or_filled_in_time_and_space():
  whole, found = fit(SERIES), fit(SERIES, length=9, crop=(2, 8, 6))
  assert found.shape == (9, 2, 8, 6, 1)
  np.testing.assert_array_equal(found[:7, :, 2:7], whole[:, 1:3])
  np.testing.assert_array_equal(found[:, :, 1], found[:, :, 3])  # mirrored
  np.testing.assert_allclose(found[7:], np.stack([found[:7].mean(0)] * 2), atol=1e-6)


def test_a_table_is_prepared_as_examples_are_and_as_a_stream_is():
  rows = np.stack([SERIES, SERIES[::-1]])
  to = VolumeSeriesPreprocessing(5, (4, 4, 4), centred=True)
  column = Stream(rows.__getitem__, np.arange(2), SERIES.shape, dtype=np.dtype(np.float32))
  want = volume_series.fit(list(rows), to)["volume_series"]
  for one in (rows, column):
    ready = volume_series.prepare(Table({"volume_series": one}), to).columns["volume_series"]
    assert ready.shape == (2, *to.shape)
    np.testing.assert_array_equal(ready[:], want)


@pytest.mark.parametrize(
  "array, sentence",
  [
    (np.zeros((4, 5, 6)), r"series 0 is one volume, \(4, 5, 6\); expected a series, \[T"),
    (np.zeros((4, 5)), r"series 0 is float64 \(4, 5\); expected a series of volumes"),
    (np.full((2, 3, 3, 3), np.nan), "series 0 holds a number that is not finite"),
    (np.zeros((2, 3, 3, 3, 2)), "series 0 has 2 channels, but the network was made for 1"),
  ],
)
def test_what_is_no_series_is_a_user_error(array, sentence):
  with pytest.raises(UserError, match=sentence):
    fit(array)
  with pytest.raises(UserError, match="series of different shapes .* need a length and a size"):
    volume_series.fit([SERIES, SERIES[1:]], VolumeSeriesPreprocessing())


def test_a_file_is_read_and_shown_from_above(tmp_path):
  series = np.zeros((3, 5, 6, 4))
  series[1, 2, 4, 0] = 9  # at the second moment, to the front and at the left end
  (found,) = volume_series.load(save(tmp_path / "a.nii.gz", series), None).values()
  np.testing.assert_array_equal(found[..., 0], series)
  film = volume_series.film(found, 64)
  assert film.shape == (3, 6, 4) and np.argwhere(film).tolist() == [[1, 1, 3]]
  assert volume_series.picture(found, 64).shape == (3 * 6, 3 * (3 * 4 + 2) - 2)  # enlarged
  assert max(volume_series.picture(found.repeat(9, 2), 64).shape) <= 64
  volume = save(tmp_path / "one.nii", series[:1])
  nib.save(nib.Nifti1Image(nib.load(volume).get_fdata()[..., 0], np.eye(4)), volume)
  with pytest.raises(UserError, match="one.nii of shape .* is one volume; expected a series"):
    volume_series.load(volume, None)


def folder(tmp_path, lengths=(7, 7, 7, 7)):
  for n, length in enumerate(lengths):
    for name in ("sick", "well"):
      series = (n + 1) * SERIES[:length, ..., 0] + 5 * (name == "sick")
      save(tmp_path / name / f"sub-{n}" / "rest.nii.gz", series)
  return tmp_path


def test_a_folder_of_series_is_streamed_or_read(tmp_path, capsys, monkeypatch):
  config = defaults(input="volume_series")
  config.model.name = "volume_series_cnn"
  config.data.update(name="series_folder", root=str(folder(tmp_path)), length=6, crop=(4, 4, 4))
  tables = []
  for stream in ("threads", ""):
    config.data.arguments = dict(test=0.25, stream=stream)
    made, splits = resolve(config)
    table = splits["train"]
    assert (len(table), len(splits["test"]), table.classes) == (6, 2, ("sick", "well"))
    assert (table.streamed, table.ragged) == (stream, False)
    assert np.bincount(table.columns["label"]).tolist() == [3, 3]
    assert inputs.kind("volume_series").preprocessing(made.data).shape == (6, 4, 4, 4, 1)
    tables.append(table)
  streamed, read = (table.columns["volume_series"][:] for table in tables)
  np.testing.assert_array_equal(streamed, read)
  want = volume_series.load(tmp_path / tables[0].names[0], None).values()
  to = VolumeSeriesPreprocessing(6, (4, 4, 4))
  np.testing.assert_array_equal(volume_series.fit([*want], to)["volume_series"][0], read[0])
  assert "filled" not in capsys.readouterr().err
  memory = 2 * 6 * to.length * 64 * 4 - 1  # of six series as float32, twice
  monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=memory))
  with pytest.raises(UserError, match="6 series of volumes of 6x4x4x4x1x4 take .* leave 'stream'"):
    resolve(config)


def test_series_of_several_lengths_and_files_that_are_none_are_told(tmp_path, capsys):
  root, to = folder(tmp_path, (7, 5)), VolumeSeriesPreprocessing()
  (root / "sick" / "notes.txt").write_text("")
  whole = series_folder.load(str(root), 0, to=to, test=0.5)["train"].columns["volume_series"]
  assert whole.shape == (2, 7, 4, 5, 6, 1)
  told = capsys.readouterr().err
  assert "2 of 4 series have less than 7 steps, such as" in told and "1 .txt" in told
  for options, sentence in (
    (dict(classes=["ill"]), "unknown class of .* 'ill'"),
    (dict(stream="fibres"), "unknown data.arguments.stream 'fibres'"),
  ):
    with pytest.raises(UserError, match=sentence):
      series_folder.load(str(root), 0, to=to, **options)
  with pytest.raises(UserError, match="sub-0 holds no folders; expected one for each class"):
    series_folder.load(str(root / "sick" / "sub-0"), 0, to=to)


def test_a_damaged_series_is_left_out_or_ends_the_run(tmp_path, capsys):
  root, to = folder(tmp_path, (7, 7, 7)), VolumeSeriesPreprocessing()
  damaged, other, last = sorted(root.glob("well/*/rest.nii.gz"))
  damaged.write_bytes(damaged.read_bytes()[:-200])
  splits = series_folder.load(str(root), 0, to=to, test=0.5)
  with pytest.raises(UserError, match="sub-0/rest.nii.gz is damaged or cut off"):
    [table.columns["volume_series"][:] for table in splits.values()]
  splits = series_folder.load(str(root), 0, to=to, test=0.5, on_error="skip")
  assert sorted(len(table) for table in splits.values()) == [2, 3]
  assert "left out 1 of 6 series" in capsys.readouterr().err
  for path in (other, last):
    path.write_bytes(damaged.read_bytes())
  with pytest.raises(UserError, match="no series of class well in the train split can be read"):
    series_folder.load(str(root), 0, to=to, on_error="skip")


def test_keys_that_do_not_fit_are_user_errors():
  config, table = defaults(input="volume_series"), Table({"volume_series": SERIES[None]})
  for change, sentence in (
    (dict(crop=(4, 4)), r"data.crop must be \(depth, height, width\) in voxels, or \(\); found"),
    (dict(crop=(), length=1, centred=True), "data.centred leaves nothing of one step"),
    (dict(centred=False, mean=(900.0,)), "data.mean is .*, but each series of volumes is norm"),
    (dict(mean=(), channels=3), "data.channels is 3, but the series have 1"),
  ):
    config.data.update(change)
    with pytest.raises(UserError, match=sentence):
      volume_series.preprocessing(config.data)
      volume_series.complete(config.data, table)
