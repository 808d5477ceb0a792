"""ResNet-18 on brain scans of three tumours and none, beside `tumor_net_brain_tumor`.

  python -m experiments.train --config=configs/classification/resnet18_brain_tumor.py \\
    --config.data.root=FOLDER_WITH_TRAIN_AND_TEST
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults()
  config.model.name = "resnet18"
  config.data.update(name="folder", validation=0.1, resize=(64, 64), channels=1)
  config.augment.update(shift=4, flip=True)
  config.optim.warmup_epochs = 1.0
  config.train.update(watch="validation", evaluate_every=2.0, log_every=200)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.model.name = "lenet5"
    config.data.update(name="fake", resize=(32, 32))
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()
