"""Faster R-CNN, VGG-16, on PASCAL VOC as in its paper (Ren et al., arXiv:1506.01497, section 3.2).

  python -m experiments.train --config=configs/detection/faster_rcnn_voc.py \\
    --config.data.root=FOLDER --config.init.source=VGG16_FILE --config.init.trunk_only=True

FOLDER is a VOC folder with lists of trainval and test, VGG16_FILE torchvision's vgg16-397923af.pth.
Trained jointly, one image a step, as the authors' second program does: on VOC 2007 a rate of 0.001
for 50,000 steps and a tenth of it for 20,000, for which it gives a mAP of 69.9 % (here
map50_2007). Images are drawn to 600x800, the shape of most, where the paper keeps their own; fc6
and fc7 begin fresh.
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("detection")
  config.model.name = "faster_rcnn"
  config.data.update(
    name="voc", batch_size=1, resize=(600, 800), channels=3, mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
  )  # fmt: skip
  config.augment.flip = True
  config.optim.update(
    name="sgd", arguments=dict(momentum=0.9), schedule="step", milestones=(9.98,),
    weight_decay=5e-4,
  )  # fmt: skip
  config.optim.rates = (("trunk/conv[12]_", 0.0),)  # as the authors have it
  config.train.epochs = 13.97
  if mode == "quick":
    config.model.arguments = dict(
      trunk="resnet20_cifar", trunk_arguments=dict(n=1), taken=(4,), sides=((8, 16, 32),),
      hidden=32, proposals=(50, 50), candidates=(100, 100), sampled=32, count=16,
    )  # fmt: skip
    config.data.update(
      name="scenes", arguments=dict(examples=40, classes=2), batch_size=8, resize=(64, 64)
    )
    config.optim.update(milestones=(0.8,), rates=())
    config.train.update(epochs=1.0, log_every=5)
  return config.lock()
