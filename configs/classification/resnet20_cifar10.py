"""ResNet-20 on CIFAR-10 as in its paper (He et al., arXiv:1512.03385, section 4.2).

  python -m experiments.train --config=configs/classification/resnet20_cifar10.py \\
    --config.data.root=FOLDER_WITH_TRAIN_AND_TEST

64,000 steps of 128 on 45,000 images. The paper's error is 8.75 %; its plain siblings are
--config.model.name=plain20_cifar, the deeper ones resnet56_cifar and so on.
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults()
  config.model.name = "resnet20_cifar"
  config.data.update(name="folder", batch_size=128, validation=0.1, resize=(32, 32), channels=3)
  config.augment.update(shift=4, flip=True)
  config.optim.update(
    name="sgd", arguments=dict(momentum=0.9), learning_rate=0.1, schedule="step",
    milestones=(91.0, 136.5), weight_decay=1e-4,
  )  # fmt: skip
  config.train.update(epochs=182.0, watch="validation", evaluate_every=5.0, log_every=200)
  config.checkpoint.best = "accuracy"
  if mode == "quick":
    config.data.name = "fake"
    config.train.update(epochs=1.0, evaluate_every=1.0)
  return config.lock()
