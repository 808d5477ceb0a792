"""LeNet-5 on MNIST: the error rate of at most 1 % that course/002 tells of.

  python -m experiments.train --config=configs/classification/lenet5_mnist.py \\
    --config.data.root=FOLDER_WITH_THE_FOUR_IDX_FILES

The last line of its log (docs/results.md has five seeds):

  epoch 2.00    step    3562 test       loss 0.0253  accuracy 0.9923
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults()
  config.data.update(name="idx", validation=0.05, resize=(28, 28))
  config.data.crop = (32, 32)  # a margin of 2, as in the paper
  config.augment.shift = 1
  config.optim.update(learning_rate=3e-3, warmup_epochs=0.2)
  config.train.update(epochs=2.0, watch="validation", evaluate_every=1.0, log_every=500)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.data.name = "fake"
    config.train.epochs = 1.0
  return config.lock()
