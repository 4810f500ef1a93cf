# SeqNeXt on ResNet-50 with the gallery filter network.
_base_ = '../seqnext/seqnext_r50_prw.py'

model = dict(
    scene_head=dict(
        type='SceneHead',
        shared_head=_base_.model.roi_head.stages[0].shared_head,
        in_channels=(1024, 2048),
        embed_dims=(1024, 1024),
    )
)
