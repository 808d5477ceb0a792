"""SSD with a small trunk on real blood cells (BCCD, a VOC folder).

  python -m experiments.train --config=configs/detection/ssd_bccd.py \\
    --config.data.root=FOLDER

Seed 0 found on the 72 test images map50 0.8710, in 55 min on one core (docs/results.md).
"""

from ml_collections import ConfigDict


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(
    name="ssd",
    num_classes=0,
    dtype="float32",
    arguments=dict(
      trunk="resnet20_cifar" if quick else "resnet18",
      trunk_arguments=dict(n=1) if quick else {},
      taken=(4,) if quick else (8, 16, 32),
      extra=((32, 32, 3, 2, 1),) * 2 if quick else ((64, 128, 3, 2, 1),) * 2,
      scales=(0.15, 0.3, 0.6, 0.9) if quick else (0.07, 0.15, 0.3, 0.5, 0.7, 0.9),
      places=100,
    ),
  )
  config.data = dict(
    name="scenes" if quick else "voc",
    root="",
    arguments=dict(examples=40, classes=2) if quick else {},
    proposals={},
    batch_size=8,
    fraction=1.0,
    sampling="uniform",
    validation=0.0,
    folds=0,
    fold=0,
    resize=(64, 64) if quick else (192, 256),
    crop=(),
    channels=3,
    mean=(0.5,),
    std=(0.25,),
    classes=(),
  )
  config.augment = dict(flip=True, flip_vertical=True, crop=(0.5, 1.0))
  config.task = dict(name="detection")
  config.optim = dict(
    name="adam",
    arguments={},
    learning_rate=1e-3,
    schedule="cosine",
    warmup_epochs=0.5,
    warmup_start=0.0,
    milestones=(),
    decay=0.1,
    clip_norm=10.0,
    weight_decay=0.0,
    penalties=(),
    decoupled=False,
    rates=(),
  )
  config.init = dict(source="", trunk_only=False, frozen_statistics=False, from_images=0)
  config.train = dict(
    epochs=1.0 if quick else 60.0,
    watch="",
    evaluate_every=0.0,
    patience=0,
    log_every=5 if quick else 25,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=0, keep=2, best="", mode="max")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()
