# Zheng et al., Global-Local Context Network for Person Search, 2021: SeqNet whose embedding
# also has a vector of the whole scene.
_base_ = 'seqnet_r50.py'

model = dict(
    neck=dict(type='SceneContext'),
    roi_head=dict(reid_head=dict(in_channels=(1024, 2048, 1024), embed_dims=(256, 128, 128))),
)
