"""Shows a model layer by layer: python -m experiments.summarize NAME [--input=32,32,3]."""

from absl import flags

import cnnjax
from cnnjax.errors import UserError
from experiments import launch

INPUT = flags.DEFINE_list("input", None, "height,width,channels; by default the paper's")
NUM_CLASSES = flags.DEFINE_integer("num_classes", None, "classes; by default the paper's")


def main(argv: list[str]) -> None:
  """Prints the table."""
  if len(argv) != 2:
    raise UserError(f"name one model of: {', '.join(cnnjax.list_models())}")
  sizes = INPUT.value
  if sizes and not (len(sizes) == 3 and all(s.isdecimal() and int(s) for s in sizes)):
    raise UserError(f"--input must be height,width,channels; found {','.join(sizes)}")
  arguments = {"num_classes": NUM_CLASSES.value} if NUM_CLASSES.value else {}
  print(cnnjax.summarize(argv[1], tuple(map(int, sizes)) if sizes else None, **arguments))


if __name__ == "__main__":
  launch.run(main)
