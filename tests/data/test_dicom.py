"""Folders of DICOM files: the same volume as NIfTI of it, and what a folder can have wrong."""

import nibabel as nib
import numpy as np
import pytest

from cnnjax.data import scan
from cnnjax.errors import UserError

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed: pip install .[dicom]")

PIXELS = (
  np.random.default_rng(0).integers(0, 4000, (5, 6, 7)).astype(np.uint16)
)  # [slice, row, col]
APART, ROW, COLUMN = 2.5, 0.75, 0.5  # millimetres between slices, rows and columns
DIRECTIONS = {  # of rows and columns, to the Left, Posterior and Superior
  "axial": (1, 0, 0, 0, 1, 0),
  "prone": (-1, 0, 0, 0, -1, 0),
  "sagittal": (0, 1, 0, 0, 0, -1),
  "coronal": (1, 0, 0, 0, 0, -1),
  "oblique": (0.96, 0.28, 0, -0.224, 0.768, 0.6),
}


def write(
  folder, directions=DIRECTIONS["axial"], uid="1.2.3", pixels=PIXELS, shift=(0, 0, 0), **tags
):
  """Writes a file for each slice, whose names are in no order, and returns the folder."""
  folder.mkdir(exist_ok=True)
  normal = np.cross(directions[:3], directions[3:])
  for n, plane in enumerate(pixels):
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    one = pydicom.Dataset()
    one.file_meta, one.SOPClassUID = meta, meta.MediaStorageSOPClassUID
    one.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = f"{uid}.{n + 1}"
    one.SeriesInstanceUID, one.InstanceNumber = uid, 99 - n
    one.Rows, one.Columns = plane.shape
    one.PixelSpacing, one.SliceThickness = [ROW, COLUMN], 9.0  # slices may overlap, or leave gaps
    one.ImageOrientationPatient = list(directions)
    one.ImagePositionPatient = [*(np.asarray([-30, 20, 5]) + n * (APART * normal + shift))]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
    one.PixelData = plane.tobytes()
    for name, value in tags.items():
      setattr(one, name, value[n] if isinstance(value, tuple) else value)
    one.save_as(folder / f"IM{7 * n % 5}-{uid}.dcm", enforce_file_format=True)
  return folder


def as_nifti(path, directions, values):
  """Writes NIfTI [column, row, slice] with the affine of the standard's equation C.7.6.2.1-1."""
  affine = np.eye(4)
  affine[:3, 0] = COLUMN * np.asarray(directions[:3])
  affine[:3, 1] = ROW * np.asarray(directions[3:])
  affine[:3, 2] = APART * np.cross(directions[:3], directions[3:])
  affine[:3, 3] = (-30, 20, 5)
  nib.save(nib.Nifti1Image(values.T, np.diag([-1, -1, 1, 1]) @ affine), path)
  return path


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_series_is_the_volume_of_its_nifti(tmp_path, name):
  folder = write(tmp_path / "series", DIRECTIONS[name])
  found = scan.read(folder)
  same = scan.read(as_nifti(tmp_path / "same.nii", DIRECTIONS[name], PIXELS))
  assert scan.is_scan(folder) and scan.head(folder) == (found.shape, found.spacing)
  assert found.dtype == np.uint16 and np.array_equal(found, same)
  assert found.spacing == pytest.approx(same.spacing, rel=1e-6)
  assert found.place.codes == same.place.codes
  np.testing.assert_allclose(found.place.affine, same.place.affine, rtol=0, atol=1e-5)
  segments = (np.asarray(found) % 5).astype(np.uint8)
  scan.write(segments, found, tmp_path / "map.nii.gz")
  header = nib.load(tmp_path / "map.nii.gz").header
  assert header.get_zooms() == pytest.approx((COLUMN, ROW, APART)) and header["qform_code"] == 1
  np.testing.assert_allclose(header.get_qform(), found.place.affine, rtol=0, atol=1e-4)
  again = scan.read(tmp_path / "map.nii.gz")
  assert np.array_equal(again, segments)
  np.testing.assert_allclose(again.place.affine, found.place.affine, rtol=0, atol=1e-5)


def test_axes_are_the_persons(tmp_path):
  """A scanner's usual slice: its columns go to the left of the person, its rows to the back."""
  found = scan.read(write(tmp_path / "series"))
  assert np.array_equal(found, PIXELS[:, ::-1, ::-1]) and found.spacing == (APART, ROW, COLUMN)


def test_values_are_rescaled(tmp_path):
  found = scan.read(write(tmp_path / "ct", RescaleSlope=1, RescaleIntercept=-1024))
  assert found.dtype == np.float32 and np.array_equal(found, PIXELS[:, ::-1, ::-1] - 1024.0)
  slopes = (1, 2, 3, 4, 5)  # of PET, one a slice
  found = scan.read(write(tmp_path / "pet", RescaleSlope=slopes, RescaleIntercept=0))
  want = PIXELS * np.asarray(slopes)[:, None, None]
  assert np.array_equal(found, want[:, ::-1, ::-1].astype(np.float32))


def test_names_without_a_suffix_and_other_files(tmp_path):
  folder = write(tmp_path / "series")
  for n, path in enumerate(sorted(folder.iterdir())):
    path.rename(folder / ("1.2.840.113" if n == 2 else f"I{n}"))
  for name in ("DICOMDIR", "readme.txt", "._I1", "preview.png", "VERSION"):
    (folder / name).write_bytes(b"x" * 128 + b"DICM" * (name == "DICOMDIR"))
  assert scan.is_scan(folder) and np.array_equal(scan.read(folder), PIXELS[:, ::-1, ::-1])
  (folder / "more").mkdir()
  assert not scan.is_scan(folder)


def test_what_a_series_can_have_wrong(tmp_path, capsys, monkeypatch):
  def refused(folder, sentence):
    with pytest.raises(UserError, match=f"{folder.name}.*{sentence}"):
      scan.read(folder)

  two = write(write(tmp_path / "two"), uid="9.8.7.6.5.4.3.2.1")
  refused(two, r"2 series, ...1.2.3 \(5 files\) and ....6.5.4.3.2.1 \(5 files\); expected a")
  gap = write(tmp_path / "gap")
  (gap / "IM4-1.2.3.dcm").unlink()
  refused(gap, "lacks slices.* IM2-1.2.3.dcm and IM1-1.2.3.dcm lie 5 mm apart, most 2.5 mm")
  refused(write(tmp_path / "time", ImagePositionPatient=[0, 0, 0]), "lie at the same place")
  refused(write(tmp_path / "sizes", PixelSpacing=([1, 1], *4 * [[2, 2]])), "PixelSpacing")
  refused(write(tmp_path / "frames", NumberOfFrames=3), "holds 3 slices")
  refused(write(tmp_path / "colour", SamplesPerPixel=3), "holds colours")
  refused(write(tmp_path / "plain", ImagePositionPatient=None), "tells no ImagePositionPatient")
  refused(write(tmp_path / "zero", PixelSpacing=[0, 1]), "has PixelSpacing")
  refused(
    write(tmp_path / "many", RescaleSlope=[1, 2]), r"has RescaleSlope \[1.0, 2.0\]; expected 1"
  )
  refused(write(tmp_path / "flat", (1, 0, 0, 1, 0, 0)), "not at right angles")
  refused(write(tmp_path / "cut", PixelData=PIXELS[0].tobytes()[:50]), "cannot be decoded")
  text = tmp_path / "text"
  text.mkdir()
  (text / "a.dcm").write_text("no DICOM")
  refused(text, "a.dcm cannot be read as DICOM")
  one = write(tmp_path / "one", pixels=PIXELS[:1])
  assert scan.read(one).spacing[0] == 9
  refused(write(one, pixels=PIXELS[:1], SliceThickness=None), "does not tell how thick it is")
  assert not capsys.readouterr().err
  tilted = scan.read(write(tmp_path / "tilted", shift=(0, 0.5, 0)))
  assert tilted.shape == PIXELS.shape
  assert "tilted are shifted by a tilt of 11.3 degrees" in capsys.readouterr().err
  monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
  refused(gap, r"needs pydicom to be read: pip install 'cnnjax\[dicom\]'")


def test_slices_that_cannot_be_decompressed(tmp_path):
  folder = write(tmp_path / "series", pixels=PIXELS[:1])
  path = next(folder.iterdir())
  one = pydicom.dcmread(path)
  one.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
  one.PixelData = pydicom.encaps.encapsulate([b"\0\1\2\3"])
  one["PixelData"].VR = "OB"
  one.save_as(path)
  with pytest.raises(UserError, match="is compressed as JPEG-LS Lossless.*cannot decode here: pip"):
    scan.read(folder)
