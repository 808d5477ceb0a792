"""How much of an image is nucleus, and how much the rest of a white blood cell, in percent.

The numbers come from masks (0 background, 128 cytoplasm, 255 nucleus) beside the images,
images/CLASS/*.png and masks/CLASS/*.png in one folder, where these lines write areas.csv:

  import csv, pathlib, numpy, PIL.Image
  with open("areas.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["path", "nucleus", "cytoplasm"])
    for path in sorted(pathlib.Path("images").rglob("*.png")):
      mask = numpy.asarray(PIL.Image.open("masks" / path.relative_to("images")))
      rows.writerow([path, *(100 * (mask == value).mean() for value in (255, 128))])

  python -m experiments.train --config=configs/regression/resnet18_cell_areas.py \\
    --config.data.root=areas.csv
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("regression")
  config.model.name = "resnet18"
  config.data.update(
    name="csv", arguments=dict(label=("nucleus", "cytoplasm")), batch_size=16, validation=0.1,
    resize=(64, 64), channels=3,
  )  # fmt: skip
  config.augment.update(flip=True, flip_vertical=True)  # which leave areas as they are
  config.optim.warmup_epochs = 1.0
  config.train.update(epochs=30.0, watch="validation", evaluate_every=5.0, log_every=200)
  config.checkpoint.update(best="rmse", mode="min")
  if mode == "quick":
    config.model.name = "lenet5"
    config.data.arguments = dict(label="numbers")
    config.data.update(name="fake", resize=(32, 32))
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()
