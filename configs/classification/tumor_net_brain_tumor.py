"""The NetChain of course/000 on brain scans of three tumours and none: "96 %, good or bad?"

  python -m experiments.train --config=configs/classification/tumor_net_brain_tumor.py \\
    --config.data.root=FOLDER_WITH_TRAIN_AND_TEST
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults()
  config.model.name = "tumor_net"
  config.data.update(name="folder", validation=0.1, resize=(128, 128), channels=1)
  config.optim.warmup_epochs = 1.0
  config.train.update(watch="validation", evaluate_every=2.0, log_every=200)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.data.update(name="fake", resize=(32, 32))
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()
