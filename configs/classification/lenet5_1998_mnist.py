"""LeNet-5 of the 1998 paper on MNIST: its own units, subsampling, connections and RBF outputs.

  python -m experiments.train --config=configs/classification/lenet5_1998_mnist.py \\
    --config.data.root=FOLDER_WITH_THE_FOUR_IDX_FILES

The last line of its log (docs/results.md has three seeds):

  epoch 6.00    step   10688 test       loss 0.0358  accuracy 0.9873
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults()
  config.model.name = "lenet5_1998"
  config.data.update(name="idx", validation=0.05, resize=(28, 28), channels=1)
  config.data.crop = (32, 32)  # a margin of 2, as in the paper
  # paper becomes -0.1 and ink 1.175, as in the paper's section II.B
  config.data.update(mean=(0.0784,), std=(0.7843,))
  config.augment.shift = 1
  config.optim.update(
    name="sgd", arguments=dict(momentum=0.9, nesterov=True), learning_rate=2e-2, warmup_epochs=0.2,
    clip_norm=2.0,
  )  # fmt: skip
  config.train.update(epochs=6.0, watch="validation", evaluate_every=1.0, log_every=500)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.data.name = "fake"
    config.train.epochs = 1.0
  return config.lock()
