"""R-CNN on blood cells (arXiv:1311.2524) with a small trunk from scratch: red, white, platelets.

  python -m experiments.train_rcnn --config=configs/detection/rcnn_bccd.py \\
    --config.data.root=FOLDER_OF_VOC

Windows are found by selective search (pip install 'cnnjax[proposals]'). The paper's own network,
from a trunk that has learnt before, is --config.model.arguments="{}" with init.source.
"""

from ml_collections import ConfigDict


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  small = dict(side=32, context=4, cells=2 if quick else 4, hidden=32 if quick else 256, crops=512)
  trunk = ("lenet5", "conv2") if quick else ("resnet20_cifar", "stage3")
  config.model = dict(
    name="rcnn",
    num_classes=0,
    dtype="float32",
    arguments=dict(trunk=trunk[0], layer=trunk[1], **small),
  )
  config.data = dict(
    name="scenes" if quick else "voc",
    root="",
    arguments=dict(examples=40, classes=2) if quick else {},
    proposals=dict(
      source="selective_search", most=50 if quick else 500, mode="single" if quick else "fast"
    ),
    batch_size=4,
    fraction=1.0,
    sampling="uniform",
    validation=0.0,
    folds=0,
    fold=0,
    resize=(64, 64) if quick else (240, 320),
    crop=(),
    channels=3,
    mean=(),
    std=(),
    classes=(),
  )
  config.augment = dict(flip=True, flip_vertical=True)
  config.task = dict(name="detection")
  config.optim = dict(
    name="sgd",
    arguments=dict(momentum=0.9),
    learning_rate=0.02,
    schedule="cosine",
    warmup_epochs=1.0,
    warmup_start=0.0,
    milestones=(),
    decay=0.1,
    clip_norm=0.0,
    weight_decay=5e-4,
    penalties=(),
    decoupled=False,
    rates=(),
  )
  config.init = dict(source="", trunk_only=False, frozen_statistics=False, from_images=0)
  config.train = dict(
    epochs=1.0 if quick else 10.0,
    watch="",
    evaluate_every=0.0,
    patience=0,
    log_every=50,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=100, keep=1, best="", mode="max")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()
