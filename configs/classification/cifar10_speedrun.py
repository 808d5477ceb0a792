"""Airbench on CIFAR-10 (Jordan, arXiv:2404.00498): ten epochs, seconds on a GPU.

  python -m experiments.train --config=configs/classification/cifar10_speedrun.py \\
    --config.data.root=FOLDER_WITH_TRAIN_AND_TEST

No run of it has been measured yet. The paper's airbench94 gets 94.01 % on the original images, on
an A100, in 3.83 s, or 3.29 s compiled. Ten seeds: --config.seed=0 to 9, each a run.
On a CPU take --config.model.dtype=float32; bfloat16 is emulated there.

As in the paper, or where it is silent in its author's program: the network and what it begins with,
the decoupled hyper-parameters, the triangular schedule, Lookahead, alternating flips, shifts filled
by reflection, six views of each test image. Otherwise:

- bfloat16 in place of float16, and parameters in float32;
- an epoch is all of the images, 483 steps in all; the program leaves out what does not fill a batch
  of 1,024 in each epoch, which makes 476;
- the whitening layer is made from 5,000 images of all classes, not the first 5,000, since folders
  are sorted; its bias rests after 3 epochs, but its gradient is computed on;
- shifts are of bytes, before the mean is subtracted, which changes nothing but rounding.
"""

from cnnjax.keys import defaults

MOMENTUM = 0.85
LONGER = 1 + 1 / (1 - MOMENTUM)  # than its gradient is a step of Nesterov's, where gradients last
RATE, DECAY = 11.5, 0.0153  # of 1,024 examples, the decay by itself and not times the rate
BIASES = 64.0  # times the rate, and as much decay as the others


def get_config(mode="full"):
  config = defaults()
  config.model.update(name="airbench94", dtype="bfloat16")
  config.data.update(
    name="folder", batch_size=1024, resize=(32, 32), channels=3, mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
  )  # fmt: skip
  config.augment.update(alternate_flip=True, reflect_shift=2)
  config.task.update(label_smoothing=0.2, views="mirrored_moved")
  config.optim.update(
    name="sgd", arguments=dict(momentum=MOMENTUM, nesterov=True), learning_rate=RATE / LONGER,
    schedule="linear", warmup_epochs=0.23 * 9.9, warmup_start=0.2, decay=0.07,
    weight_decay=DECAY / RATE,
    penalties=(("l2", DECAY / RATE, "whiten/bias"), ("l2", DECAY / RATE / BIASES, "norm./bias")),
    rates=(("whiten/kernel", 0.0), ("whiten/bias", 1.0, 3.0), ("norm./bias", BIASES)),
  )  # fmt: skip
  config.init.from_images = 5000
  config.train.update(epochs=9.9, ema=0.95**5, lookahead=5)
  config.checkpoint.update(keep=1, best="accuracy")
  if mode == "quick":
    config.model.update(dtype="float32", arguments=dict(widths=(8, 16, 16)))
    config.data.update(name="fake", batch_size=64)
    config.optim.warmup_epochs = 0.23 * 1.0
    config.train.epochs = 1.0
  return config.lock()
