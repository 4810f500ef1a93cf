"""What a model's attention does to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmps.apis.network import TorchNetwork


def attention_masks(network: TorchNetwork, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The masks (n, h, w) float32 in 0..1, each over its box, that people are embedded through.

    With a re-ID network of its own it is that network's attention, else the one that detection
    shares. A mask over channels has no places: where both are used, it is their product's mean over
    channels. Where regions are warped first, the mask is taken back to the box.

    The image is (h, w, 3) uint8 BGR, the boxes (n, 4) xyxy in its pixels.

    Raises:
        ValueError: The model has no attention, or none over places.
    """
    import torch

    from mmps.models.layers.fast import extract
    from mmps.models.necks.stn import warp

    model = network.model
    head = model.roi_head
    source = head.reid_network or head
    extractor = head.bbox_roi_extractor if source is head else source.roi_extractor
    attention = source.focus.attention
    if attention is None:
        raise ValueError('the model has no attention; use a config whose name has _att')
    with torch.no_grad():
        batch = model.data_preprocessor(network.preprocessing([image], [np.asarray(boxes)]))
        (sample,) = batch['data_samples']
        x, frame = model.extract_frame(batch['inputs'])
        scaled = sample.query_instances.bboxes * x[0].new_tensor(sample.scale_factor * 2)
        taken = scaled if frame is None else frame.to_warped(scaled, 0)
        feats = extract(extractor, x, torch.cat([taken.new_zeros(len(taken), 1), taken], 1))
        theta = None
        if source.focus.region_transformer is not None:
            feats, theta = source.focus.region_transformer(feats)
        mask = attention.mask(feats).mean(1, keepdim=True)
        if mask.shape[-2:] == (1, 1):
            raise ValueError('the attention of this model weighs channels, not places')
        if theta is not None:
            bottom = theta.new_tensor([0, 0, 1]).expand(len(theta), 1, 3)
            mask = warp(mask, torch.linalg.inv(torch.cat([theta, bottom], 1))[:, :2])
    return mask[:, 0].float().cpu().numpy()
