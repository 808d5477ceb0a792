"""Faster R-CNN, VGG-16, on PASCAL VOC as in its paper (Ren et al., arXiv:1506.01497, section 3.2).

  python -m experiments.train --config=configs/detection/faster_rcnn_voc.py \\
    --config.data.root=FOLDER --config.init.source=VGG16_FILE --config.init.trunk_only=True

FOLDER is a VOC folder with lists of trainval and test, VGG16_FILE torchvision's vgg16-397923af.pth.
Trained jointly, one image a step, as the authors' second program does: on VOC 2007 a rate of 0.001
for 50,000 steps and a tenth of it for 20,000, for which it gives a mAP of 69.9 % (here
map50_2007). Images are drawn to 600x800, the shape of most, where the paper keeps their own; fc6
and fc7 begin fresh.
"""

from ml_collections import ConfigDict


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(
    name="faster_rcnn",
    num_classes=0,
    dtype="float32",
    arguments=dict(
      trunk="resnet20_cifar",
      trunk_arguments=dict(n=1),
      taken=(4,),
      sides=((8, 16, 32),),
      hidden=32,
      proposals=(50, 50),
      candidates=(100, 100),
      sampled=32,
      count=16,
    )
    if quick
    else {},
  )
  config.data = dict(
    name="scenes" if quick else "voc",
    root="",
    arguments=dict(examples=40, classes=2) if quick else {},
    proposals={},
    batch_size=8 if quick else 1,
    fraction=1.0,
    sampling="uniform",
    validation=0.0,
    folds=0,
    fold=0,
    resize=(64, 64) if quick else (600, 800),
    crop=(),
    channels=3,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    classes=(),
  )
  config.augment = dict(flip=True)
  config.task = dict(name="detection")
  config.optim = dict(
    name="sgd",
    arguments=dict(momentum=0.9),
    learning_rate=1e-3,
    schedule="step",
    warmup_epochs=0.0,
    warmup_start=0.0,
    milestones=(0.8,) if quick else (9.98,),
    decay=0.1,
    clip_norm=0.0,
    weight_decay=5e-4,
    penalties=(),
    decoupled=False,
    rates=() if quick else (("trunk/conv[12]_", 0.0),),  # as the authors have it
  )
  config.init = dict(source="", trunk_only=False, frozen_statistics=False, from_images=0)
  config.train = dict(
    epochs=1.0 if quick else 13.97,
    watch="",
    evaluate_every=0.0,
    patience=0,
    log_every=5 if quick else 100,
    ema=0.0,
    lookahead=0,
    accumulate=1,
    steps_per_dispatch=0,
  )
  config.checkpoint = dict(every=0, keep=2, best="", mode="max")
  config.mesh = dict(devices=0, parameters="replicated", deterministic=False)
  return config.lock()
