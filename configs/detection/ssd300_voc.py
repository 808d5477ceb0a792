"""SSD300 on PASCAL VOC as in its paper (Liu et al., arXiv:1512.02325, section 3.1 and 3.6).

  python -m experiments.train --config=configs/detection/ssd300_voc.py --config.data.root=FOLDER \\
    --config.init.source=VGG16_FILE --config.init.trunk_only=True

FOLDER is a VOC folder with lists of trainval and test. The paper trains on those of 2007 and 2012
together, 120,000 steps of 32 images, and finds a mAP of 77.2 % on the test images of 2007 (here
map50_2007; 74.3 % without zoom_out). VGG16_FILE is torchvision's vgg16-397923af.pth. For 512x512,
--config.model.name=ssd512 and --config.data.resize="(512,512)".
"""

from ml_collections import ConfigDict


def get_config(mode="full"):
  quick = {"full": False, "quick": True}[mode]
  config = ConfigDict()
  config.seed = 0
  config.model = dict(
    name="ssd300",
    num_classes=0,
    dtype="float32",
    arguments=dict(
      trunk="resnet20_cifar",
      trunk_arguments=dict(n=1),
      taken=(4,),
      converted=False,
      extra=((32, 32, 3, 2, 1),),
      scales=(0.15, 0.3, 0.6),
      ratios=(),
      steps=(),
    )
    if quick
    else {},
  )
  config.data = dict(
    name="scenes" if quick else "voc",
    root="",
    arguments=dict(examples=40, classes=2) if quick else {},
    proposals={},
    batch_size=8 if quick else 32,
    fraction=1.0,
    sampling="uniform",
    validation=0.0,
    folds=0,
    fold=0,
    resize=(64, 64) if quick else (300, 300),
    crop=(),
    channels=3,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    classes=(),
  )
  config.augment = dict(
    flip=True, ssd_crop=True, zoom_out=4.0, brightness=0.125, contrast=0.5, saturation=0.5, hue=0.05
  )
  config.task = dict(name="detection")
  config.optim = dict(
    name="sgd",
    arguments=dict(momentum=0.9),
    learning_rate=1e-3,
    schedule="step",
    warmup_epochs=0.1,
    warmup_start=0.0,
    milestones=(0.4, 0.8) if quick else (155.0, 193.0),
    decay=0.1,
    clip_norm=0.0,
    weight_decay=5e-4,
    penalties=(),
    decoupled=False,
    rates=(),
  )
  config.init = dict(source="", trunk_only=False, frozen_statistics=False, from_images=0)
  config.train = dict(
    epochs=1.0 if quick else 232.0,
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
