"""R-CNN on blood cells (arXiv:1311.2524) with a small trunk from scratch: red, white, platelets.

  python -m experiments.train_rcnn --config=configs/detection/rcnn_bccd.py \\
    --config.data.root=FOLDER_OF_VOC

Windows are found by selective search (pip install 'cnnjax[proposals]'). The paper's own network,
from a trunk that has learnt before, is --config.model.arguments="{}" with init.source.
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("detection")
  config.model.name = "rcnn"
  config.model.arguments.update(
    trunk="resnet20_cifar", layer="stage3", side=32, context=4, cells=4, hidden=256, crops=512,
  )  # fmt: skip
  config.data.update(
    name="voc", proposals=dict(source="selective_search", most=500, mode="fast"), batch_size=4,
    resize=(240, 320), channels=3,
  )  # fmt: skip
  config.augment.update(flip=True, flip_vertical=True)
  config.optim.update(
    name="sgd", arguments=dict(momentum=0.9), learning_rate=0.02, warmup_epochs=1.0,
    weight_decay=5e-4,
  )  # fmt: skip
  config.train.log_every = 50
  config.checkpoint.update(every=100, keep=1)
  if mode == "quick":
    config.model.arguments.update(trunk="lenet5", layer="conv2", cells=2, hidden=32)
    config.data.proposals.update(most=20, mode="single")
    config.data.update(name="scenes", arguments=dict(examples=40, classes=2), resize=(48, 48))
    config.train.epochs = 1.0
  return config.lock()
