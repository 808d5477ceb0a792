"""Faster and Mask R-CNN's layers as today's torchvision and its published files name them."""

from cnnjax.checkpoints.port import resnet
from cnnjax.models.classification.resnet import ResNet

BODY = {
  path: (f"backbone.body.{name[0]}", *name[1:])
  if isinstance(name, tuple)
  else f"backbone.body.{name}"
  for path, name in resnet.TORCHVISION.items()
  if path.startswith("trunk/")
}
HEADS = {
  "rpn/objectness": "rpn.head.cls_logits",
  "rpn/offsets": "rpn.head.bbox_pred",
  "head/fc6": ("roi_heads.box_head.fc6", (7, 7)),
  "head/fc7": "roi_heads.box_head.fc7",
  "head/logits": "roi_heads.box_predictor.cls_score",
  "head/offsets": "roi_heads.box_predictor.bbox_pred",
  "mask_head/up": "roi_heads.mask_predictor.conv5_mask",
  "mask_head/logits": "roi_heads.mask_predictor.mask_fcn_logits",
}
NOW = {
  "pyramid/lateral{i}": "backbone.fpn.inner_blocks.{i-1}.0",
  "pyramid/output{i}": "backbone.fpn.layer_blocks.{i-1}.0",
  "rpn/conv": "rpn.head.conv.0.0",
  "mask_head/conv{i}": "roi_heads.mask_head.{i-1}.0",
}
PUBLISHED = {  # names in the files of 2019
  "pyramid/lateral{i}": "backbone.fpn.inner_blocks.{i-1}",
  "pyramid/output{i}": "backbone.fpn.layer_blocks.{i-1}",
  "rpn/conv": "rpn.head.conv",
  "mask_head/conv{i}": "roi_heads.mask_head.mask_fcn{i}",
}


def names(model):
  """Returns the mappings; only networks with a ResNet and a pyramid have any."""
  if not (isinstance(model.classifier, ResNet) and model.pyramid):
    return {}
  return {"torchvision": BODY | HEADS | NOW, "torchvision, 2019": BODY | HEADS | PUBLISHED}
