"""Applies a trained model to files: python -m experiments.predict --workdir=RUN FILE...

A FILE is an image, or a file of the run's kind of input, or a folder, or a "glob*.png". It prints
the answers and writes predictions.json and predictions.png into the run folder, or into --out. A
detector's answers are also written as COCO's JSON, predictions.coco.json, and boxes whose score is
--least or more are drawn on each image, at its full size, in the folder predictions. Of clips it
writes an animated GIF with each answer there; a FILE may be a folder of frames.
"""

import glob
from pathlib import Path

from absl import flags

import cnnjax
from cnnjax.data import inputs
from cnnjax.engine import log
from cnnjax.engine.config import load_config
from cnnjax.engine.run import write_json
from cnnjax.errors import UserError
from cnnjax.metrics.coco_results import results
from cnnjax.visualise.answers import above, as_text, ranked
from cnnjax.visualise.figure import save
from cnnjax.visualise.film import save_film
from cnnjax.visualise.sheet import contact_sheet

from . import launch
from .showing import detections

FLAGS = flags.FLAGS
CHUNK = 64  # examples in memory at once, at their full size
FEW = 4  # the same for a detector, since each of its masks is as large as its image
SHOWN, SIDE = 100, 256  # examples on a contact sheet, and their longest side in pixels


def find(patterns: list[str], out: Path, input: str = "image") -> list[Path]:
  """Returns the files that paths, folders and globs name, each once, in their order.

  From folders it takes the files of the kind of input, without those that an earlier call has drawn
  into `out`.

  Raises: UserError for a pattern that names no file.
  """
  drawn, suffixes = out.resolve() / "predictions", inputs.kind(input).SUFFIXES
  whole = getattr(inputs.kind(input), "whole", lambda path: False)
  found = []
  for pattern in patterns:
    path = Path(pattern).expanduser()
    if path.is_dir() and not whole(path):
      inside = (p for p in path.rglob("*") if p.suffix.lower() in suffixes)
      files = sorted(p for p in inside if p.is_file() and not _within(p, drawn))
      if not files:
        raise UserError(f"folder {path} holds no {input} ({', '.join(suffixes)})")
    elif path.exists():
      files = [path]
    else:
      files = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())
      if not files:
        raise UserError(f"no {input} file at {pattern}")
    found += files
  return list(dict.fromkeys(found))


def _within(path: Path, drawn: Path) -> bool:
  """Returns whether a file is the contact sheet `drawn`.png, or lies in the folder `drawn`."""
  path = path.resolve()
  return drawn in path.parents or path == drawn.with_suffix(".png")


def main(argv: list[str]) -> None:
  """Prints and writes the answers."""
  if not argv[1:]:
    raise UserError("name at least one file, folder or glob")
  out = Path(FLAGS.out or FLAGS.workdir)
  input = load_config(FLAGS.workdir).data.input
  files, kind = find(argv[1:], out, input), inputs.kind(input)
  run = cnnjax.restore(FLAGS.workdir, FLAGS.checkpoint, FLAGS.parameters)
  classes, least = run.config.data.classes, detections.least(run, FLAGS.least)
  boxes = run.config.task.name == "detection"
  answers, shown, films = [], [], []
  many = FEW if boxes else CHUNK
  for start in range(0, len(files), many):  # all files, before anything is written
    chunk = files[start : start + many]
    found = {}
    for path in chunk:
      found |= kind.load(path, run.model.preprocessing)
    if FLAGS.invert:
      found = {name: kind.invert(example) for name, example in found.items()}
    examples = list(found.values())
    if not boxes:
      new = examples[: SHOWN - len(shown)]
      shown += [kind.picture(one, SIDE) for one in new]
      films += [kind.film(one, SIDE // 2) for one in new if hasattr(kind, "film")]
    for name, one, answer in zip(found, examples, run.predict(examples)):
      top = {"top": ranked(answer, classes)} if "probabilities" in answer else {}
      answer = detections.packed(answer, one) if boxes else answer
      answers.append({"file": name, **answer, **top})
  seen = [above(answer, least) for answer in answers] if boxes else answers
  answer_texts = [as_text(answer, classes) for answer in seen]
  rows = {answer["file"]: row for answer, (row, _) in zip(answers, answer_texts)}
  log.grid(f"{run.folder}, checkpoint {run.step}", rows)
  out.mkdir(parents=True, exist_ok=True)
  if boxes:
    write_json(out / "predictions.coco.json", results(answers, classes))
    shown = detections.draw(files, seen, out / "predictions", SHOWN, SIDE)
    print(f"wrote {out / 'predictions.coco.json'} and {len(files)} images in {out / 'predictions'}")
  captions = [f"{caption}\n{Path(row).name[-24:]}" for (_, caption), row in zip(answer_texts, rows)]
  for number, (film, caption) in enumerate(zip(films, captions)):
    (out / "predictions").mkdir(exist_ok=True)
    save_film(
      film, caption, out / "predictions" / f"{number}_{Path(answers[number]['file']).stem}.gif"
    )
  if films:
    print(f"wrote {len(films)} films in {out / 'predictions'}")
  save(contact_sheet(shown, captions[:SHOWN]), out / "predictions.png")
  write_json(out / "predictions.json", answers)
  more = f" (the first {SHOWN} of {len(answers)})" if len(answers) > SHOWN else ""
  print(f"wrote {out / 'predictions.json'} and {out / 'predictions.png'}{more}")


if __name__ == "__main__":
  launch.define_run_flags()
  detections.define_flags()
  flags.DEFINE_bool("invert", False, "turn dark on light into light on dark first")
  flags.DEFINE_string("out", None, "folder for what is written; by default the run's")
  launch.run(main)
