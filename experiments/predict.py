"""Applies a trained model to files: python -m experiments.predict --workdir=RUN FILE...

A FILE is an image, or a file of the run's kind of input, or a folder, or a "glob*.png". The answers
are written into the run folder, or into --out, as predictions.json; those of a detector also in
COCO's format, predictions.coco.json, with --annotations=FILE.json in the ids of that COCO file.
Then the first --pictures of them are drawn: all on one sheet, predictions.png, and a detector's
boxes of a score of --least or more on each image at its full size, in the folder predictions. Class
maps are written as PNGs of the classes' numbers, with a palette, in the folder predictions/masks,
and drawn over their images in predictions.

A run of the task promptable is asked by --box=x0,y0,x1,y1, once for each object, or by
--point=x,y, once for each point of one object (x,y,0 is beside it), in pixels of the user's image.
Its masks are PNGs of 0 and 1.

Files are read a few at a time, so that there may be any number of them. A file that cannot be read
is named and passed over; then the exit status is 1.
"""

import glob
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from absl import flags

import cnnjax
from cnnjax.data import inputs
from cnnjax.engine.config import load_config
from cnnjax.errors import UserError

from . import launch
from .showing import detections, prompted, segments
from .showing.seen import Seen
from .showing.written import Answers, folder_for

FLAGS = flags.FLAGS
MANY = 64, 1 << 28  # examples in memory at once, at their full size, and their bytes
FEW = 4, 1 << 24  # where each of many masks is as large as its image
TOLD = 20  # faults that are printed; all are counted


def find(patterns: list[str], out: Path, input: str = "image") -> list[Path]:
  """Returns the files that paths, folders and globs name, each once, in their order.

  From folders it takes the files of the kind of input, without hidden ones and those that an
  earlier call has written into `out`; how many others there are is printed on standard error.

  Raises: UserError for a pattern that names no file.
  """
  drawn, suffixes = out.resolve() / "predictions", inputs.kind(input).SUFFIXES
  whole = getattr(inputs.kind(input), "whole", lambda path: False)  # a folder of frames is a clip
  found = []
  for pattern in patterns:
    path = Path(pattern).expanduser()
    if path.is_dir() and not whole(path):
      inside = (p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
      inside = sorted(p for p in inside if not _within(p, drawn))
      files = [p for p in inside if p.name.lower().endswith(suffixes)]
      if not files:
        raise UserError(f"folder {path} holds no {input} ({', '.join(suffixes)})")
      if len(files) < len(inside):
        rest = [p for p in inside if p not in {*files}]
        print(
          f"left out {len(rest)} of {len(inside)} files in {path}: by its suffix {rest[0].name} is "
          f"no {input}",
          file=sys.stderr,
        )
    elif path.exists():
      files = [path]
    else:
      files = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())
      if not files:
        raise UserError(f"no {input} file at {pattern}")
    found += files
  return list(dict.fromkeys(found))


def _hidden(path: Path) -> bool:
  """Returns whether a name in a path begins with a dot, as those of macOS' companion files do."""
  return any(part.startswith(".") for part in path.parts)


def _within(path: Path, drawn: Path) -> bool:
  """Returns whether a file is `drawn`.png or another that is written, or lies in `drawn`."""
  path = path.resolve()
  written = (drawn.with_suffix(suffix) for suffix in (".png", ".json", ".coco.json"))
  return drawn in path.parents or path in written


class Faults(list):
  """The faults of files that have no answer, of `count` files; they are printed as they come."""

  def __init__(self, count: int):
    self.count = count

  def add(self, fault: object) -> None:
    """Notes a fault, and prints it where it may not be the only thing to say."""
    self.append(str(fault))
    if self.count > 1 and len(self) <= TOLD:
      print(f"passed over: {fault}", file=sys.stderr, flush=True)

  def sum(self) -> str:
    """Returns one sentence about all."""
    if self.count == 1:
      return self[0]
    return f"{len(self)} of {self.count} files have no answer, the first: {self[0]}"


def loaded(
  files: list[Path], kind: ModuleType, to: Any, most: tuple[int, int], faults: Faults
) -> Iterator[dict[str, np.ndarray]]:
  """Yields the examples in files by name, a part at a time, inverted with --invert.

  A part has at most so many examples, or ends with the one by which it has that many bytes.
  """
  part, size = {}, 0
  for path in files:
    try:
      found = kind.load(path, to)
      found = {n: kind.invert(one) for n, one in found.items()} if FLAGS.invert else found
    except UserError as error:
      faults.add(error)
      continue
    for name, one in found.items():
      part[name] = one
      size += one.nbytes
      if len(part) >= most[0] or size >= most[1]:
        yield part
        part, size = {}, 0
  if part:
    yield part


def answered(
  run: cnnjax.Run, part: dict[str, np.ndarray], faults: Faults, asked: dict[str, Any]
) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
  """Yields the name, example and answer of each example that has one.

  `asked` are the prompts for each of them.
  """
  given = {key: [value] * len(part) for key, value in asked.items()}
  try:
    yield from zip(part, part.values(), run.predict(list(part.values()), **given))
  except UserError as error:
    if len(part) == 1:
      faults.add(f"{next(iter(part))}: {error}")
      return
    for name, one in part.items():
      yield from answered(run, {name: one}, faults, asked)


def main(argv: list[str]) -> None:
  """Writes the answers, then prints and draws the first of them."""
  if not argv[1:]:
    raise UserError("name at least one file, folder or glob")
  out, input = Path(FLAGS.out or FLAGS.workdir), load_config(FLAGS.workdir).data.input
  files, kind = find(argv[1:], out, input), inputs.kind(input)
  run = cnnjax.restore(FLAGS.workdir, FLAGS.checkpoint, FLAGS.parameters)
  out = folder_for(out, "predictions.json")
  least, ids = detections.least(run, FLAGS.least), detections.ids(run, FLAGS.annotations, files)
  boxes, faults = run.config.task.name == "detection", Faults(len(files))
  asked = prompted.of_flags(run, FLAGS.box, FLAGS.point)
  most = FEW if boxes or asked else MANY
  seen = Seen(run, least, FLAGS.pictures, out)
  with Answers(out, run.config.data.classes, boxes, ids) as written:
    for part in loaded(files, kind, run.model.preprocessing, most, faults):
      for name, one, answer in answered(run, part, faults, asked):
        found = answer.get("masks" if asked else "segments")
        if asked:
          answer = prompted.written(answer, asked, name, out, written.count + 1)
        elif found is not None:
          answer = segments.written(answer, one, name, out, written.count + 1, kind)
        answer = {"file": name, **(detections.packed(answer, one) if boxes else answer)}
        written.add(seen.add(answer, one, found))
    if not written.count:
      raise UserError(faults.sum())
  seen.table()
  written.tell()
  seen.draw(out)
  if faults:
    print(faults.sum(), file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
  launch.define_run_flags()
  detections.define_flags()
  prompted.define_flags()
  flags.DEFINE_bool("invert", False, "turn dark on light into light on dark first")
  flags.DEFINE_string("out", None, "folder for what is written; by default the run's")
  flags.DEFINE_string("annotations", None, "of a detector: COCO file whose ids the answers take")
  flags.DEFINE_integer("pictures", 100, "how many answers, the first, are drawn", lower_bound=0)
  launch.run(main)
