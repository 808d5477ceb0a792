"""Shows a model layer by layer: python -m experiments.summarize NAME [--input=32,32,3]."""

from absl import flags

import cnnjax
from cnnjax.errors import UserError
from experiments import launch

FLAGS = flags.FLAGS


def main(argv: list[str]) -> None:
  """Prints the table."""
  if len(argv) != 2:
    raise UserError(f"name one model of: {', '.join(cnnjax.list_models())}")
  sizes = FLAGS.input
  if sizes and not (len(sizes) == 3 and all(s.isdecimal() and int(s) for s in sizes)):
    raise UserError(f"--input must be height,width,channels; found {','.join(sizes)}")
  arguments = {"num_classes": FLAGS.num_classes} if FLAGS.num_classes else {}
  print(cnnjax.summarize(argv[1], tuple(map(int, sizes)) if sizes else None, **arguments))


if __name__ == "__main__":
  flags.DEFINE_list("input", None, "height,width,channels; by default the paper's")
  flags.DEFINE_integer("num_classes", None, "classes; by default the paper's", lower_bound=1)
  launch.run(main)
