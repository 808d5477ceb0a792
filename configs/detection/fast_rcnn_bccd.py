"""Fast R-CNN (arXiv:1504.08083) with a small trunk on real blood cells (BCCD, a VOC folder).

  python -m experiments.train --config=configs/detection/fast_rcnn_bccd.py \\
    --config.data.root=FOLDER

Windows are found by selective search (pip install 'cnnjax[proposals]').
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("detection")
  config.model.name = "fast_rcnn"
  config.model.arguments.update(
    trunk="resnet18", trunk_arguments={}, taken=8, hidden=256, dropout=0.0, count=64,
    background=0.0, places=100,
  )  # fmt: skip
  config.data.update(
    name="voc", proposals=dict(source="selective_search", most=500, mode="fast"), batch_size=4,
    resize=(240, 320), channels=3, mean=(0.5,), std=(0.25,),
  )  # fmt: skip
  config.augment.update(flip=True, flip_vertical=True)
  config.optim.update(warmup_epochs=0.5, clip_norm=10.0)
  config.train.update(epochs=60.0, log_every=25)
  if mode == "quick":
    config.model.arguments.update(
      trunk="resnet20_cifar", trunk_arguments=dict(n=1), taken=4, hidden=32, count=16
    )
    config.data.proposals.update(most=50, mode="single")
    config.data.update(
      name="scenes", arguments=dict(examples=40, classes=2), batch_size=8, resize=(64, 64)
    )
    config.train.update(epochs=1.0, log_every=5)
  return config.lock()
