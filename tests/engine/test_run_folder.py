"""What is damaged, edited or removed in a run folder is said."""

import json
import re
import shutil
import time

import pytest

import cnnjax
from cnnjax.engine.fit import fit
from cnnjax.engine.record import read_rows
from cnnjax.engine.run import note_data, note_environment, open_folder
from cnnjax.errors import UserError
from experiments.evaluate import score
from tests.engine.test_fit import LOGISTIC, cut_off, job_of, quick


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
  """A run of 12 steps that was cut off at step 8, with its rows of steps 4, 6 and 8."""
  folder = tmp_path_factory.mktemp("runs") / "cut"
  job, config, splits = job_of(quick(**LOGISTIC))
  open_folder(folder, config)
  with pytest.raises(KeyboardInterrupt):
    fit(cut_off(job, 8), config, splits, folder)
  assert [row["step"] for row in read_rows(folder / "metrics.jsonl")] == [4, 6, 8]
  return folder, job, config, splits


@pytest.mark.parametrize(
  ("damage", "said"),
  [
    (lambda lines: lines, ""),
    (lambda lines: lines[:-1], ""),  # what came after the checkpoint is made again
    (lambda lines: [], "lacks 2 of the 2 rows .* 6 was .*: train of step 4, validation of step 6;"),
    (lambda lines: [lines[0], lines[1][:30]], "lacks 1 of the 2 rows .*: validation of step 6;"),
    (lambda lines: lines[1:], "lacks 1 of the 2 rows .*: train of step 4;"),
    (
      lambda lines: [lines[0].replace(b'"loss": ', b'"loss": 1'), *lines[1:]],
      r"lacks 1 of the 2 rows .*: train of step 4 \(changed\);",
    ),
  ],
)
def test_lost_rows_are_told(cut, tmp_path, capsys, damage, said):
  whole, job, config, splits = cut
  folder = shutil.copytree(whole, tmp_path / "run")
  path = folder / "metrics.jsonl"
  path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
  fit(job, config, splits, folder)
  assert read_rows(path)[-1]["split"] == "test"
  told = capsys.readouterr().err
  assert re.fullmatch(f".*{said}.*\n" if said else "", told)


def test_damaged_files_end_in_a_sentence(cut, tmp_path):
  whole, job, config, splits = cut
  folder = shutil.copytree(whole, tmp_path / "run")
  rows = folder / "metrics.jsonl"
  before = rows.read_bytes()
  for damaged, why in [
    (before.replace(b"train", b"tr\xffin", 1), "in line 1: .*utf-8"),
    (before.replace(b"}", b"", 1), "in line 1"),
    (b"3\n" + before, "in line 1: it holds no step: 3"),
    (before + b"[" * 100_000 + b"\n", "in line 4"),
  ]:
    rows.write_bytes(damaged)
    with pytest.raises(UserError, match=f"metrics.jsonl is damaged {why}"):
      fit(job, config, splits, folder)
  for name, note in [
    ("data.json", lambda: note_data(folder, {})),
    ("environment.json", lambda: note_environment(folder)),
  ]:
    for text in ("", '{"a": [', "3"):
      (folder / name).write_text(text)
      with pytest.raises(UserError, match=f"{name} is damaged: "):
        note()


def test_an_edited_config_is_told(cut, tmp_path, capsys):
  whole, job, _, splits = cut
  folder = shutil.copytree(whole, tmp_path / "run")
  score(cnnjax.restore(folder), "test")
  assert capsys.readouterr().err == ""
  path = folder / "config.json"
  tree = json.loads(path.read_text())
  mean = tuple(tree["data"]["mean"])
  tree["data"]["mean"] = [0.9]
  path.write_text(json.dumps(tree))
  run = cnnjax.restore(folder)
  told = capsys.readouterr().err
  assert f"config.json was changed after checkpoint 6 was saved (data.mean: {mean} then" in told
  assert "(0.9,) now" in told and told.count("\n") == 1
  assert run.model.preprocessing.mean == (0.9,)  # a deliberate edit holds
  fit(job, run.config, splits, folder)
  assert "config.json was changed after checkpoint 6 was saved" in capsys.readouterr().err


@pytest.mark.parametrize("lost", [".", "metrics.jsonl", "checkpoints"])
def test_what_is_removed_while_a_run_trains_is_told(cut, tmp_path, lost):
  whole, job, config, splits = cut
  folder = shutil.copytree(whole, tmp_path / "run")

  def batches(step):
    if step == 11:
      while not (folder / "checkpoints" / "10").exists():
        time.sleep(0.01)
      (folder / lost).rename(tmp_path / "elsewhere")
    return job.batches(step)

  batches.close = job.batches.close
  with pytest.raises(UserError, match="was removed|could not be written"):
    fit(job._replace(batches=batches), config, splits, folder)
