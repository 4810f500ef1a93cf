# SeqNeXt with the gallery filter network: similarities are weighted by how likely a scene is to
# hold the person, which test_evaluator.scene_weighting=False turns off.
_base_ = '../seqnext/seqnext_convnext-b_cuhk-sysu.py'

model = dict(
    scene_head=dict(
        type='SceneHead',
        shared_head=_base_.model.roi_head.stages[0].shared_head,
        in_channels=(512, 1024),
        embed_dims=(1024, 1024),
    )
)
