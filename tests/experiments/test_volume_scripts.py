"""Volumes through the commands: trained by windows, scored whole, asked about files, refused."""

import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.experiments.test_scripts import command

QUICK = "--config=configs/segmentation/unet3d_hippocampus.py:quick"
SMALL = (
  "--config.data.arguments={'examples': 8, 'size': 12}",
  "--config.data.tile=(8, 8, 8)",
  "--config.model.arguments={'widths': (4, 8), 'norm': 'instance'}",
  "--config.train.epochs=2",
  "--config.train.evaluate_every=2",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run on generated volumes of up to 12 voxels a side, too short to learn much."""
  folder = tmp_path_factory.mktemp("runs") / "volumes"
  done = command("train", QUICK, *SMALL, f"--workdir={folder}")
  assert done.returncode == 0, done.stderr
  return folder, done


def test_a_run_notes_what_it_saw(run):
  folder, done = run
  assert "mean_iou" in done.stdout and "cross_entropy_loss" in done.stdout
  config = json.loads((folder / "config.json").read_text())["data"]
  assert config["spacing"] == [1, 1, 1] and config["tile"] == [8, 8, 8]
  assert config["normalize"] == "each" and config["channels"] == 1


def test_evaluate_scores_whole_volumes(run, tmp_path):
  folder, _ = run
  done = command("evaluate", f"--workdir={folder}", f"--out={tmp_path}")
  assert done.returncode == 0, done.stderr
  figures = json.loads((tmp_path / "evaluation.json").read_text())
  voxels = json.loads((folder / "data.json").read_text())["splits"]["test"]["pixels"]
  assert np.sum(figures["confusion"]) == sum(voxels) and figures["examples"] == 8
  assert {"dice", "hd95", "size_error", "size_r2"} <= figures["per_class"][1].keys()
  for name in ("losses.png", "confusion.png", "worst.png", "sizes.png"):
    assert Image.open(tmp_path / name).size > (200, 200)


def test_predict_writes_a_map_that_lies_over_its_file(run, tmp_path):
  folder, _ = run
  rng, files, out = np.random.default_rng(0), tmp_path / "files", tmp_path / "out"
  files.mkdir()
  affine = np.array([[-1.5, 0, 0, 30], [0, 0, 2.0, -8], [0, -1, 0, 12], [0, 0, 0, 1]])  # LIA
  voxels = rng.normal(size=(10, 14, 6)).astype(np.float32)
  nibabel.save(nibabel.Nifti1Image(voxels, affine), files / "a.nii.gz")
  nibabel.save(nibabel.Nifti1Image(rng.normal(size=(9, 9, 9, 3)), affine), files / "b.nii")
  nibabel.save(nibabel.Nifti1Image(voxels, affine), files / "c.nii")
  header = bytearray((files / "c.nii").read_bytes())
  header[312:328] = bytes(16)  # the third row of the affine
  (files / "c.nii").write_bytes(header)
  (files / "d.nii").write_bytes(b"no volume")
  done = command("predict", f"--workdir={folder}", f"--out={out}", files)
  assert done.returncode == 1 and "3 of 4 files have no answer" in done.stderr
  for told in ("b.nii of shape (9, 9, 9, 3) is a series of 3", "c.nii", "d.nii"):
    assert told in done.stderr
  (answer,) = json.loads((out / "predictions.json").read_text())
  found = nibabel.load(out / answer["mask"])
  assert found.shape == voxels.shape and answer["mask"].endswith("0001_a.nii.gz")
  np.testing.assert_allclose(found.affine, affine)
  assert sum(answer["pixels"].values()) == voxels.size
  picture = Image.open(out / "predictions" / "0001_a.png")
  assert picture.size > (128, 64) and (out / "predictions.png").exists()


def test_predict_answers_a_volume_alike_however_it_lies(run, tmp_path):
  folder, _ = run
  voxels, made = np.random.default_rng(1).normal(size=(9, 10, 11)).astype(np.float32), {}
  for name, turn in {"ras": 1, "las": -1}.items():
    affine = np.diag([turn, 1.0, 1.0, 1.0])
    affine[0, 3] = 0 if turn > 0 else 8
    nibabel.save(nibabel.Nifti1Image(voxels[::turn], affine), tmp_path / f"{name}.nii")
    done = command(
      "predict", f"--workdir={folder}", f"--out={tmp_path / name}", tmp_path / f"{name}.nii"
    )
    assert done.returncode == 0, done.stderr
    mask = nibabel.load(tmp_path / name / "predictions/masks" / f"0001_{name}.nii.gz")
    made[name] = np.asarray(mask.dataobj)[::turn]
  np.testing.assert_array_equal(made["ras"], made["las"])
