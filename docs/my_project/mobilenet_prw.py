# MMDetection's MobileNetV2 as stem, with the parts of my_parts.py: docs/extending.md.
_base_ = [
    '../../configs/_base_/models/person_search.py',
    '../../configs/_base_/datasets/prw.py',
    '../../configs/_base_/schedules/sgd_50e.py',
    '../../configs/_base_/default_runtime.py',
]
custom_imports = dict(imports=['my_parts'])
# The stages behind the fifth get no gradient, which several processes have to be told.
find_unused_parameters = True

model = dict(
    backbone=dict(type='MobileNetV2', out_indices=(4,)),  # 96 channels at stride 16
    neck=dict(in_channels=96),
    rpn_head=dict(in_channels=96),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=96),
        shared_head=dict(type='SmallIdentification', in_channels=96),
        bbox_head=dict(in_channels=256),
        reid_head=dict(
            type='MaxReIDHead',
            num_ids=483,
            embed_dim=256,
            loss=dict(_delete_=True, type='CosineLoss', scale=16.0),
        ),
    ),
)
