"""SSD300 on PASCAL VOC as in its paper (Liu et al., arXiv:1512.02325, section 3.1 and 3.6).

  python -m experiments.train --config=configs/detection/ssd300_voc.py --config.data.root=FOLDER \\
    --config.init.source=VGG16_FILE --config.init.trunk_only=True

FOLDER is a VOC folder with lists of trainval and test. The paper trains on those of 2007 and 2012
together, 120,000 steps of 32 images, and finds a mAP of 77.2 % on the test images of 2007 (here
map50_2007; 74.3 % without zoom_out). VGG16_FILE is torchvision's vgg16-397923af.pth. For 512x512,
--config.model.name=ssd512 and --config.data.resize="(512,512)".
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("detection")
  config.model.name = "ssd300"
  config.data.update(
    name="voc", resize=(300, 300), channels=3, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
  )
  config.augment.update(
    flip=True, ssd_crop=True, zoom_out=4.0, brightness=0.125, contrast=0.5, saturation=0.5, hue=0.05
  )
  config.optim.update(
    name="sgd", arguments=dict(momentum=0.9), schedule="step", warmup_epochs=0.1,
    milestones=(155.0, 193.0), weight_decay=5e-4,
  )  # fmt: skip
  config.train.epochs = 232.0
  if mode == "quick":
    config.model.arguments = dict(
      trunk="resnet20_cifar", trunk_arguments=dict(n=1), taken=(4,), converted=False,
      extra=((32, 32, 3, 2, 1),), scales=(0.15, 0.3, 0.6), ratios=(), steps=(),
    )  # fmt: skip
    config.data.update(
      name="scenes", arguments=dict(examples=40, classes=2), batch_size=8, resize=(64, 64)
    )
    config.optim.milestones = (0.4, 0.8)
    config.train.update(epochs=1.0, log_every=5)
  return config.lock()
