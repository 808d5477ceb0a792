"""torchvision and timm as references, which can be imported with a PyTorch without CUDA too.

The package registries' torchvision wheel holds operators that are compiled for CUDA, and its import
fails where they do not load. Declaring the operators first lets torchvision build every model. The
two operators that detectors need in inference, `nms` and `roi_align`, are then implemented in plain
PyTorch; models cannot use the others.
"""

import sys

import torch

SCHEMAS = (
  "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
  "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
  "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
  " SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
  "roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
  " SymInt pooled_width) -> (Tensor, Tensor)",
  "ps_roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
  " SymInt pooled_width, int sampling_ratio) -> (Tensor, Tensor)",
  "ps_roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
  " SymInt pooled_width) -> (Tensor, Tensor)",
  "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias,"
  " SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h,"
  " SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask) -> Tensor",
  "_roi_align_backward(Tensor grad, Tensor rois, float spatial_scale, SymInt pooled_height,"
  " SymInt pooled_width, SymInt batch_size, SymInt channels, SymInt height, SymInt width,"
  " int sampling_ratio, bool aligned) -> Tensor",
  "_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, float spatial_scale,"
  " SymInt pooled_height, SymInt pooled_width, SymInt batch_size, SymInt channels,"
  " SymInt height, SymInt width) -> Tensor",
  "_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor channel_mapping, float spatial_scale,"
  " SymInt pooled_height, SymInt pooled_width, int sampling_ratio, SymInt batch_size,"
  " SymInt channels, SymInt height, SymInt width) -> Tensor",
  "_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor channel_mapping, float spatial_scale,"
  " SymInt pooled_height, SymInt pooled_width, SymInt batch_size, SymInt channels,"
  " SymInt height, SymInt width) -> Tensor",
  "_deform_conv2d_backward(Tensor grad, Tensor input, Tensor weight, Tensor offset, Tensor mask,"
  " Tensor bias, SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h,"
  " SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask)"
  " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
  """Returns the indices of the boxes [N, 4] that are kept, best first, as torchvision's `nms`."""
  stay, gone = [], torch.zeros(len(boxes), dtype=torch.bool)
  overlap = torchvision.ops.box_iou(boxes, boxes)
  for i in scores.argsort(descending=True, stable=True).tolist():
    if not gone[i]:
      stay.append(i)
      gone |= overlap[i] > iou_threshold
  return torch.tensor(stay, dtype=torch.int64)


try:
  import torchvision
except (RuntimeError, OSError):  # operator torchvision::nms does not exist
  for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
    del sys.modules[name]
  library = torch.library.Library("torchvision", "DEF")
  for schema in SCHEMAS:
    library.define(schema)
  import torchvision
  from torchvision.ops.roi_align import _roi_align as roi_align  # plain PyTorch

  operators = torch.library.Library("torchvision", "IMPL", "CPU")
  operators.impl("nms", nms)
  operators.impl("roi_align", roi_align.__wrapped__)
  torchvision.extension._has_ops = lambda: True

import timm  # noqa: E402

TIMM = {  # our name: timm's; all other names are torchvision's
  **{f"seresnet{depth}": f"seresnet{depth}" for depth in (18, 34, 50, 101, 152)},
  "legacy_senet154": "legacy_senet154",
  "mobilenet_v1": "mobilenetv1_100",
}


def build(name: str, num_classes: int | None = None) -> torch.nn.Module:
  """Returns torchvision's or timm's module for a name of the zoo, with random weights.

  Without `num_classes` it has those of its published weights.
  """
  options = {} if num_classes is None else {"num_classes": num_classes}
  if name in TIMM:
    return timm.create_model(TIMM[name], **options)
  options |= dict(aux_logits=True, init_weights=False) if name == "googlenet" else {}
  return torchvision.models.get_model(name, weights=None, **options)
