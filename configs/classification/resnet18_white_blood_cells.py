"""ResNet-18 on four kinds of white blood cells, one of five folds held out for the test.

  python -m experiments.train --config=configs/classification/resnet18_white_blood_cells.py \\
    --config.data.root=FOLDER_OF_CLASSES

A few hundred images: train it once with each --config.data.fold=0 .. 4, and average.
"""

from cnnjax.keys import defaults

CLASSES = ("neutrophil", "eosinophil", "monocyte", "lymphocyte")


def get_config(mode="full"):
  config = defaults()
  config.model.name = "resnet18"
  config.data.update(
    name="folder", arguments=dict(classes=CLASSES), batch_size=16, validation=0.1, folds=5,
    resize=(96, 96), channels=3,
  )  # fmt: skip
  config.augment.update(shift=8, flip=True)
  config.optim.warmup_epochs = 1.0
  config.train.update(epochs=30.0, watch="validation", evaluate_every=5.0, log_every=200)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.model.name = "lenet5"
    config.data.arguments = dict(classes=10)
    config.data.update(name="fake", folds=0, resize=(32, 32))
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()
