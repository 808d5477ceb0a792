"""Shows a model layer by layer: python -m experiments.summarize NAME [--input=32,32,3].

With --all it compares the ImageNet classifiers instead, and with --out=FILE.png draws a picture.
"""

from pathlib import Path

from absl import flags

import cnnjax
from cnnjax.engine import log
from cnnjax.errors import UserError
from cnnjax.visualise.figure import save

from . import launch
from .showing import comparison

FLAGS = flags.FLAGS


def main(argv: list[str]) -> None:
  """Prints the table."""
  if FLAGS.all:
    return _compare(argv[1:])
  if len(argv) != 2:
    raise UserError(f"name one model of: {', '.join(cnnjax.list_models())}; or give --all")
  if FLAGS.out:
    raise UserError("--out draws the comparison; give --all with it")
  sizes = FLAGS.input
  if sizes and not (len(sizes) == 3 and all(s.isdecimal() and int(s) for s in sizes)):
    raise UserError(f"--input must be height,width,channels; found {','.join(sizes)}")
  arguments = {"num_classes": FLAGS.num_classes} if FLAGS.num_classes else {}
  print(cnnjax.summarize(argv[1], tuple(map(int, sizes)) if sizes else None, **arguments))


def _compare(names: list[str]) -> None:
  if names or FLAGS.input or FLAGS.num_classes:
    raise UserError("--all compares all ImageNet classifiers as published; name nothing beside it")
  if FLAGS.out and not Path(FLAGS.out).resolve().parent.is_dir():
    raise UserError(f"--out {FLAGS.out} lies in no folder that exists")
  entries = comparison.compare()
  log.grid("ImageNet classifiers", comparison.columns(entries))
  print(comparison.NOTES)
  for sentence in comparison.contradictions(entries):
    print(f"contradicted by our count: {sentence}")
  if FLAGS.out:
    save(comparison.picture(entries), FLAGS.out)
    print(f"wrote {FLAGS.out}")


if __name__ == "__main__":
  flags.DEFINE_bool("all", False, "compare the ImageNet classifiers")
  flags.DEFINE_string("out", None, "PNG to draw the comparison into, with --all")
  flags.DEFINE_list("input", None, "height,width,channels; by default the paper's")
  flags.DEFINE_integer("num_classes", None, "classes; by default the paper's", lower_bound=1)
  launch.run(main)
