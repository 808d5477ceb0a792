"""YOLO on PASCAL VOC as in its paper (Redmon et al., arXiv:1506.02640, section 2.2).

  python -m experiments.train --config=configs/detection/yolo_v1_voc.py --config.data.root=FOLDER

FOLDER is a VOC folder with lists of train (or trainval) and test. The paper trains on those of 2007
and 2012 together and finds a mAP of 63.4 % on the test images of 2007 (here map50_2007), 52.7 %
with --config.model.name=fast_yolo. Its first 20 convolutions come from ImageNet; to begin without
them, add --config.model.arguments.norm=True. The rate grows over an epoch from 0, not from a tenth.
The authors' program takes half of equation 3's gradient, at a rate of 0.01 and a decay of 0.0005:
here the rate is half of that and the decay twice. It mirrors images, too.
"""

from ml_collections import ConfigDict

SMALL = ((3, 8, 2), "M", (3, 16, 1), "M", (3, 32, 1))  # of the quick form


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(
    name="yolo_v1",
    num_classes=0,
    dtype="float32",
    arguments=dict(norm=False, **(dict(table=SMALL, hidden=(64,)) if quick else {})),
  )
  config.data = dict(
    name="scenes" if quick else "voc",
    root="",
    arguments=dict(examples=40, classes=2) if quick else {},
    proposals={},
    batch_size=8 if quick else 64,
    fraction=1.0,
    sampling="uniform",
    validation=0.0,
    folds=0,
    fold=0,
    resize=(48, 48) if quick else (448, 448),
    crop=(),
    channels=3,
    mean=(0.0,),
    std=(1.0,),
    classes=(),
  )
  config.augment = dict(flip=True, scale=(0.8, 1.2), translate=0.2, brightness=0.5, saturation=0.5)
  config.task = dict(name="detection")
  config.optim = dict(
    name="sgd",
    arguments=dict(momentum=0.9),
    learning_rate=5e-3,
    schedule="step",
    warmup_epochs=1.0,
    warmup_start=0.0,
    milestones=(75.0, 105.0),
    decay=0.1,
    clip_norm=0.0,
    weight_decay=1e-3,
    penalties=(),
    decoupled=False,
    rates=(),
  )
  config.init = dict(source="", trunk_only=False, frozen_statistics=False, from_images=0)
  config.train = dict(
    epochs=1.0 if quick else 135.0,
    watch="",
    evaluate_every=0.0,
    patience=0,
    log_every=5 if quick else 50,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=0, keep=2, best="", mode="max")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()
