"""ResNet-20 on CIFAR-10 as in its paper (He et al., arXiv:1512.03385, section 4.2).

  python -m experiments.train --config=configs/classification/resnet20_cifar10.py \\
    --config.data.root=FOLDER_WITH_TRAIN_AND_TEST

64,000 steps of 128 on 45,000 images. The paper's error is 8.75 %; its plain siblings are
--config.model.name=plain20_cifar, the deeper ones resnet56_cifar and so on.
"""

from ml_collections import ConfigDict


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(name="resnet20_cifar", num_classes=0, dtype="float32", arguments={})
  config.data = dict(
    name="fake" if quick else "folder",
    root="",
    arguments={},
    proposals={},
    batch_size=128,
    fraction=1.0,
    sampling="uniform",
    validation=0.1,
    folds=0,
    fold=0,
    resize=(32, 32),
    crop=(),
    channels=3,
    mean=(),
    std=(),
    classes=(),
  )
  config.augment = dict(shift=4, flip=True)
  config.task = dict(name="classification", label_smoothing=0.0, class_weights=())
  config.optim = dict(
    name="sgd",
    arguments=dict(momentum=0.9),
    learning_rate=0.1,
    schedule="step",
    warmup_epochs=0.0,
    warmup_start=0.0,
    milestones=(91.0, 136.5),
    decay=0.1,
    clip_norm=0.0,
    weight_decay=1e-4,
    penalties=(),
    decoupled=False,
    rates=(),
  )
  config.init = dict(source="", trunk_only=False, frozen_statistics=False, from_images=0)
  config.train = dict(
    epochs=1.0 if quick else 182.0,
    watch="validation",
    evaluate_every=1.0 if quick else 5.0,
    patience=0,
    log_every=200,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=0, keep=2, best="accuracy", mode="max")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()
