"""Segment Anything's layers as the authors' files, MedSAM's too, and transformers name them."""

ATTENTIONS = {
  "block{n}/self_attention": "layers.{n-1}.self_attn",
  "block{n}/token_to_image": "layers.{n-1}.cross_attn_token_to_image",
  "block{n}/image_to_token": "layers.{n-1}.cross_attn_image_to_token",
  "token_to_image": "final_attn_token_to_image",
}
BOTH = {
  "prompt_encoder/no_point": "prompt_encoder.not_a_point_embed",
  "prompt_encoder/no_mask": "prompt_encoder.no_mask_embed",
  "mask_decoder/iou_token": "mask_decoder.iou_token",
  "mask_decoder/mask_tokens": "mask_decoder.mask_tokens",
  **{
    f"mask_decoder/{ours}/{part}": f"mask_decoder.transformer.{theirs}.{projection}"
    for ours, theirs in ATTENTIONS.items()
    for part, projection in (
      *(("query", "q_proj"), ("key", "k_proj")),
      *(("value", "v_proj"), ("out", "out_proj")),
    )
  },
  "mask_decoder/block{n}/mlp/fc{i}": "mask_decoder.transformer.layers.{n-1}.mlp.lin{i}",
}
AUTHORS = {
  **BOTH,
  "trunk/patch": "image_encoder.patch_embed.proj",
  "trunk/position": "image_encoder.pos_embed=",
  "trunk/block{n}/norm{i}": "image_encoder.blocks.{n-1}.norm{i}",
  "trunk/block{n}/attention/qkv": "image_encoder.blocks.{n-1}.attn.qkv",
  "trunk/block{n}/attention/height": "image_encoder.blocks.{n-1}.attn.rel_pos_h=",
  "trunk/block{n}/attention/width": "image_encoder.blocks.{n-1}.attn.rel_pos_w=",
  "trunk/block{n}/attention/out": "image_encoder.blocks.{n-1}.attn.proj",
  "trunk/block{n}/mlp/fc{i}": "image_encoder.blocks.{n-1}.mlp.lin{i}",
  "neck/lateral1": "image_encoder.neck.0",
  "neck/norm1": "image_encoder.neck.1",
  "neck/conv": "image_encoder.neck.2",
  "neck/norm2": "image_encoder.neck.3",
  "prompt_encoder/fourier": "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix=",
  "prompt_encoder/background": "prompt_encoder.point_embeddings.0",
  "prompt_encoder/object": "prompt_encoder.point_embeddings.1",
  "prompt_encoder/top_left": "prompt_encoder.point_embeddings.2",
  "prompt_encoder/bottom_right": "prompt_encoder.point_embeddings.3",
  "prompt_encoder/masks/conv1": "prompt_encoder.mask_downscaling.0",
  "prompt_encoder/masks/norm1": "prompt_encoder.mask_downscaling.1",
  "prompt_encoder/masks/conv2": "prompt_encoder.mask_downscaling.3",
  "prompt_encoder/masks/norm2": "prompt_encoder.mask_downscaling.4",
  "prompt_encoder/masks/conv3": "prompt_encoder.mask_downscaling.6",
  "mask_decoder/block{n}/norm{i}": "mask_decoder.transformer.layers.{n-1}.norm{i}",
  "mask_decoder/norm": "mask_decoder.transformer.norm_final_attn",
  "mask_decoder/up1": "mask_decoder.output_upscaling.0",
  "mask_decoder/up_norm": "mask_decoder.output_upscaling.1",
  "mask_decoder/up2": "mask_decoder.output_upscaling.3",
  "mask_decoder/weights{n}/fc{i}": "mask_decoder.output_hypernetworks_mlps.{n}.layers.{i-1}",
  "mask_decoder/iou/fc{i}": "mask_decoder.iou_prediction_head.layers.{i-1}",
}
TRANSFORMERS = {
  **BOTH,
  "trunk/patch": "vision_encoder.patch_embed.projection",
  "trunk/position": "vision_encoder.pos_embed=",
  "trunk/block{n}/norm{i}": "vision_encoder.layers.{n-1}.layer_norm{i}",
  "trunk/block{n}/attention/qkv": "vision_encoder.layers.{n-1}.attn.qkv",
  "trunk/block{n}/attention/height": "vision_encoder.layers.{n-1}.attn.rel_pos_h=",
  "trunk/block{n}/attention/width": "vision_encoder.layers.{n-1}.attn.rel_pos_w=",
  "trunk/block{n}/attention/out": "vision_encoder.layers.{n-1}.attn.proj",
  "trunk/block{n}/mlp/fc{i}": "vision_encoder.layers.{n-1}.mlp.lin{i}",
  "neck/lateral1": "vision_encoder.neck.conv1",
  "neck/norm1": "vision_encoder.neck.layer_norm1",
  "neck/conv": "vision_encoder.neck.conv2",
  "neck/norm2": "vision_encoder.neck.layer_norm2",
  "prompt_encoder/fourier": "shared_image_embedding.positional_embedding=",
  "prompt_encoder/background": "prompt_encoder.point_embed.0",
  "prompt_encoder/object": "prompt_encoder.point_embed.1",
  "prompt_encoder/top_left": "prompt_encoder.point_embed.2",
  "prompt_encoder/bottom_right": "prompt_encoder.point_embed.3",
  "prompt_encoder/masks/conv{i}": "prompt_encoder.mask_embed.conv{i}",
  "prompt_encoder/masks/norm{i}": "prompt_encoder.mask_embed.layer_norm{i}",
  "mask_decoder/block{n}/norm{i}": "mask_decoder.transformer.layers.{n-1}.layer_norm{i}",
  "mask_decoder/norm": "mask_decoder.transformer.layer_norm_final_attn",
  "mask_decoder/up1": "mask_decoder.upscale_conv1",
  "mask_decoder/up_norm": "mask_decoder.upscale_layer_norm",
  "mask_decoder/up2": "mask_decoder.upscale_conv2",
  "mask_decoder/weights{n}/fc1": "mask_decoder.output_hypernetworks_mlps.{n}.proj_in",
  "mask_decoder/weights{n}/fc2": "mask_decoder.output_hypernetworks_mlps.{n}.layers.0",
  "mask_decoder/weights{n}/fc3": "mask_decoder.output_hypernetworks_mlps.{n}.proj_out",
  "mask_decoder/iou/fc1": "mask_decoder.iou_prediction_head.proj_in",
  "mask_decoder/iou/fc2": "mask_decoder.iou_prediction_head.layers.0",
  "mask_decoder/iou/fc3": "mask_decoder.iou_prediction_head.proj_out",
}


def names(model):
  """Returns the mappings; only networks with a vision transformer have any."""
  if model.classifier is not None:
    return {}
  return {"segment_anything": AUTHORS, "transformers": TRANSFORMERS}
