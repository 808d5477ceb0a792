"""NIfTI files of any orientation are one anatomical array; their maps lie where they lay."""

import gzip
import itertools
import pickle

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.data import scan
from cnnjax.errors import UserError

SIZES = np.asarray([0.7, 1.3, 2.5])  # millimetres to the Right, Anterior and Superior
BODY = np.random.default_rng(0).integers(-900, 900, (3, 4, 5)).astype(np.int16)  # [D, H, W]
ORIGIN = np.asarray([-10.0, 4.0, 30.0])


def save(path, voxels=BODY.T, affine=None, kind=nib.Nifti1Image, order="<", **fields):
  """Writes a file whose header has these fields, right or wrong, and returns its path."""
  affine = np.diag([*SIZES, 1.0]) if affine is None else affine
  image = kind(voxels, affine, kind.header_class(endianness=order), dtype=voxels.dtype)
  whole = bytearray(image.to_bytes())
  header = kind.header_class(bytes(whole[: kind.header_class.sizeof_hdr]), check=False)
  for name, value in fields.items():
    header[name] = value
  whole[: len(header.binaryblock)] = header.binaryblock
  path.write_bytes(gzip.compress(whole) if path.suffix == ".gz" else whole)
  return path


def lying(axes, signs):
  """Returns BODY [I, J, K] as a file has it whose indices go along these axes, and its affine."""
  voxels, affine = BODY.T.transpose(axes), np.eye(4)
  affine[:3, 3] = ORIGIN
  for index, (axis, sign) in enumerate(zip(axes, signs)):
    affine[:3, index] = 0
    affine[axis, index] = sign * SIZES[axis]
    if sign < 0:
      voxels = np.flip(voxels, index)
      affine[axis, 3] += SIZES[axis] * (voxels.shape[index] - 1)
  return voxels, affine


def test_all_48_orientations_are_one_array_and_maps_lie_where_they_lay(tmp_path):
  segments = (np.arange(BODY.size) % 7).astype(np.uint8).reshape(BODY.shape)
  seen = set()
  for n, (axes, signs) in enumerate(
    itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
  ):
    voxels, affine = lying(axes, signs)
    path = save(tmp_path / f"{n}.nii{'.gz' * (n % 2)}", voxels, affine)
    found = scan.read(path)
    assert found.dtype == np.int16 and np.array_equal(found, BODY)
    assert found.spacing == pytest.approx(tuple(SIZES[::-1]), rel=1e-6)
    assert scan.head(path) == (BODY.shape, found.spacing)
    assert found.place.codes == "".join(("LPI", "RAS")[s > 0][a] for a, s in zip(axes, signs))
    seen.add(found.place.codes)
    scan.write(segments, found, tmp_path / "map.nii.gz")
    answer = nib.load(tmp_path / "map.nii.gz")
    assert np.array_equal(answer.affine, nib.load(path).affine)
    assert answer.shape == voxels.shape and answer.get_data_dtype() == np.uint8
    corners = (
      np.stack(np.indices(voxels.shape), -1) @ answer.affine[:3, :3].T + answer.affine[:3, 3]
    )
    right, front, up = np.moveaxis(np.rint((corners - ORIGIN) / SIZES).astype(int), -1, 0)
    assert np.array_equal(np.asarray(answer.dataobj), segments[up, front, right])
  assert len(seen) == 48


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_a_map_of_a_file_is_the_file(tmp_path_factory, data):
  """Also where axes are oblique or skewed, and whichever of its affines and units a file has."""
  draw = lambda *strategies: [data.draw(one) for one in strategies]  # noqa: E731
  folder = tmp_path_factory.mktemp("map")
  rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
  turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
  affine = nib.affines.from_matvec(turn * rng.uniform(0.2, 9, 3), rng.normal(0, 99, 3))
  forms = data.draw(st.sampled_from([(0, 0), (1, 0), (0, 2), (1, 1), (3, 4)]))
  kind, unit, suffix = draw(
    st.sampled_from([nib.Nifti1Image, nib.Nifti2Image]),
    st.sampled_from([0, 1, 2, 3, 7, 10]),
    st.sampled_from([".nii", ".nii.gz"]),
  )
  voxels = rng.integers(0, 256, rng.integers(1, 6, 3)).astype(np.uint8)
  codes = dict(zip(("qform_code", "sform_code"), forms), xyzt_units=unit)
  path = save(folder / f"scan{suffix}", voxels, affine, kind, **codes)
  found = scan.read(path)
  scan.write(np.asarray(found), found, folder / f"map{suffix}")
  scan.write(np.asarray(found), found, folder / f"again{suffix}")
  before, after = nib.load(path), nib.load(folder / f"map{suffix}")
  assert np.array_equal(np.asarray(after.dataobj), voxels)
  assert np.array_equal(after.affine, before.affine) and type(after) is type(before)
  assert after.header.get_zooms() == before.header.get_zooms()
  for get in ("get_qform", "get_sform"):
    (one, code), (other, also) = (getattr(i, get)(coded=True) for i in (before, after))
    assert code == also and (code == 0 or np.array_equal(one, other))
  assert after.header["xyzt_units"] == before.header["xyzt_units"]
  scale = {1: 1000, 3: 0.001}.get(unit, 1)
  assert sorted(found.spacing) == pytest.approx(
    sorted(nib.affines.voxel_sizes(before.affine) * scale), rel=1e-5
  )
  files = [(folder / f"{name}{suffix}").read_bytes() for name in ("map", "again")]
  assert files[0] == files[1]


def test_values(tmp_path, capsys):
  for kind in ("u1", "i1", "<i2", ">i2", "<u2", "<i4", ">f4", "<f8"):
    voxels = BODY.T.astype(kind)
    name = f"{kind[1:]}{kind[0] == '>'}.nii"
    found = scan.read(save(tmp_path / name, voxels, order=">" if kind[0] == ">" else "<"))
    want = np.float32 if "f" in kind else voxels.dtype.newbyteorder("=")
    assert found.dtype == want and found.dtype.isnative and np.array_equal(found, voxels.T)
  found = scan.read(save(tmp_path / "scaled.nii", scl_slope=0.5, scl_inter=-3))
  assert found.dtype == np.float32 and np.array_equal(found, BODY * 0.5 - 3)
  assert not capsys.readouterr().err
  voxels = BODY.T.astype(np.float32)
  voxels[0, 0, :3], low, high = (np.nan, np.inf, -np.inf), BODY[:, 1:].min(), BODY[:, 1:].max()
  path = save(
    tmp_path / "nan.nii", np.clip(voxels, low, high, where=np.isfinite(voxels), out=voxels)
  )
  found = scan.read(path)
  assert found[:, 0, 0].tolist() == [low, high, low]
  assert np.array_equal(scan.read(path), found)
  assert capsys.readouterr().err == (
    f"{path} has 3 voxels that are not finite; they are set to {low}\n"
  )


def test_series_and_channels(tmp_path):
  voxels = np.arange(120, dtype=np.int16).reshape(3, 4, 5, 2)
  flipped = np.diag([-1.0, 2, 3, 1])
  clock = dict(pixdim=[-1, 1, 2, 3, 2500, 0, 0, 0], xyzt_units=2 + 16)  # milliseconds
  path = save(tmp_path / "four.nii.gz", voxels, flipped, **clock)
  with pytest.raises(UserError, match=r"four.nii.gz of shape \(3, 4, 5, 2\) is a series of 2"):
    scan.read(path)
  series, channels = scan.read(path, series=True), scan.read(path, channels=True)
  assert np.array_equal(series, voxels[::-1].T) and series.seconds == 2.5
  assert np.array_equal(channels, voxels[::-1].transpose(2, 1, 0, 3)) and channels.seconds is None
  assert scan.head(path, series=True) == (series.shape, series.spacing) == ((2, 5, 4, 3), (3, 2, 1))
  assert scan.head(path, channels=True)[0] == channels.shape == (5, 4, 3, 2)
  segments = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
  for like in (series, channels):
    scan.write(segments, like, tmp_path / "map.nii")
    assert np.array_equal(scan.read(tmp_path / "map.nii"), segments)
    assert np.array_equal(nib.load(tmp_path / "map.nii").affine, flipped)
  one = save(tmp_path / "one.nii", voxels[..., :1])
  assert scan.read(one).shape == (5, 4, 3) and scan.read(one, series=True).shape == (1, 5, 4, 3)
  vectors = save(tmp_path / "vectors.nii", voxels[..., None, :])  # as ITK writes them
  assert np.array_equal(scan.read(vectors, channels=True), voxels.transpose(2, 1, 0, 3))
  plain = save(tmp_path / "plain.nii")
  assert scan.read(plain, channels=True).shape == (*BODY.shape, 1)
  with pytest.raises(UserError, match="is one volume; expected a series"):
    scan.read(plain, series=True)


WRONG = {
  "voxels of size 0": dict(pixdim=[1, 0, 1, 1, 0, 0, 0, 0], qform_code=0, sform_code=0),
  "voxels of size 0 by its affine": dict(srow_y=0, srow_x=[0, 1, 1, 0], srow_z=[0, 0, 1, 0]),
  "a singular affine": dict(srow_x=[1, 1, 0, 0], srow_y=[1, 1, 0, 0]),
  "an affine that is not finite": dict(srow_z=np.nan),
  "cannot be read as NIfTI: w2 should be positive": dict(quatern_b=3, qform_code=1, sform_code=0),
  r"holds complex numbers \(complex64\)": dict(voxels=BODY.T.astype(np.complex64)),
  "holds colours": dict(voxels=np.zeros((3, 4, 5), [(c, "u1") for c in "RGB"])),
  r"of shape \(5, 4\) has 2 axes": dict(dim=[2, 5, 4, 1, 1, 1, 1, 1]),
  r"of shape \(5, 4, 1, 3, 2\) has 5 axes": dict(voxels=np.zeros((5, 4, 1, 3, 2), np.uint8)),
  "holds no voxel": dict(dim=[3, 5, 4, 0, 1, 1, 1, 1]),
  "data code 77 not recognized": dict(datatype=77),
  "is no NIfTI file": dict(magic=b"x"),
  "holds no finite value": dict(voxels=np.full((3, 4, 5), np.nan, np.float32)),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_a_file_can_have_wrong(tmp_path, sentence):
  with pytest.raises(UserError, match=f"wrong.nii.* {sentence}"):
    scan.read(save(tmp_path / "wrong.nii.gz", **WRONG[sentence]))


def test_a_header_without_an_affine_is_legal(tmp_path):
  found = scan.read(save(tmp_path / "old.nii", qform_code=0, sform_code=0))
  assert found.place.codes == "LAS" and np.array_equal(found, BODY[:, :, ::-1])


def test_a_damaged_file_never_gives_other_voxels(tmp_path):
  whole = save(tmp_path / "whole.nii.gz").read_bytes()
  path, refused = tmp_path / "damaged.nii.gz", 0
  cut = [whole[:length] for length in range(0, len(whole), 7)]
  flipped = [whole[:n] + bytes([whole[n] ^ 16]) + whole[n + 1 :] for n in range(0, len(whole), 3)]
  for content in cut + flipped:
    path.write_bytes(content)
    try:
      found = scan.read(path)
    except UserError as error:
      assert str(path) in str(error) and "\n" not in str(error)
      refused += 1
    else:
      assert np.array_equal(found, BODY)
  assert refused >= len(cut + flipped) - 4  # the time and the system in gzip's header mean nothing
  plain = save(tmp_path / "plain.nii").read_bytes()
  path = tmp_path / "cut.nii"
  for length, sentence in ((0, "is empty"), (200, "no NIfTI"), (380, "Expected 120 bytes, got 28")):
    path.write_bytes(plain[:length])
    with pytest.raises(UserError, match=f"cut.nii .*{sentence}"):
      scan.read(path)


def test_paths(tmp_path):
  path = save(tmp_path / "A.b.NII.GZ")
  assert scan.suffix_of(path) == ".nii.gz" and scan.stem_of(path) == "A.b" and scan.is_scan(path)
  (tmp_path / "folder.nii").mkdir()
  assert scan.stem_of(tmp_path / "folder.nii") == "folder.nii"
  assert not scan.is_scan(tmp_path / "folder.nii") and not scan.is_scan(tmp_path)
  for name in ("._a.nii.gz", "a.gz", "a.png"):
    assert not scan.is_scan(tmp_path / name)
  (tmp_path / "a.txt").write_text("")
  for name, sentence in (("no.nii", "no scan at .*no.nii"), ("a.txt", "is no scan; expected")):
    with pytest.raises(UserError, match=sentence):
      scan.read(tmp_path / name)


def test_a_map_is_written_completely_or_not_at_all(tmp_path, monkeypatch):
  like = scan.read(save(tmp_path / "scan.nii.gz"))
  segments, path = np.ones(BODY.shape, np.uint8), tmp_path / "map.nii.gz"
  for wrong, sentence in (
    (segments[1:], r"must be uint8 \(3, 4, 5\), as its scan; found uint8 \(2, 4, 5\)"),
    (segments * 1.0, "found float64"),
  ):
    with pytest.raises(UserError, match=sentence):
      scan.write(wrong, like, path)
  with pytest.raises(UserError, match=r"written as .nii or .nii.gz; found .*map.png"):
    scan.write(segments, like, tmp_path / "map.png")
  with pytest.raises(UserError, match="map.nii could not be written: No such file"):
    scan.write(segments, like, tmp_path / "none" / "map.nii")
  scan.write(segments, like, path)

  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("os.fsync", full)
  with pytest.raises(UserError, match=r"map.nii.gz could not be written: No space left"):
    scan.write(segments * 2, like, path)
  assert scan.read(path).max() == 1
  assert sorted(p.name for p in tmp_path.iterdir()) == ["map.nii.gz", "scan.nii.gz"]


def test_a_scan_is_an_array_that_keeps_its_place(tmp_path):
  whole = scan.read(save(tmp_path / "scan.nii"))
  for part in (whole[1:], whole.astype(np.float32), whole * 2, pickle.loads(pickle.dumps(whole))):
    assert isinstance(part, scan.Scan) and part.spacing == whole.spacing
    assert np.array_equal(part.place.affine, whole.place.affine)
  assert isinstance(whole.mean(), np.float64) and isinstance(whole.max(), np.int16)
  assert np.zeros(3).view(scan.Scan).place is None
