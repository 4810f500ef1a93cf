# Fiaz et al., PS-ARM: An End-to-End Attention-aware Relation Mixer Network for Person Search, ACCV
# 2022: SeqNet with a mixer in front of each region network.
_base_ = 'seqnet_r50.py'

region_network = dict(
    type='PooledRegion',
    network=dict(type='RelationMixer', network=_base_.region_network.network),
)
model = dict(
    roi_head=dict(
        stages=[
            dict(_base_.model.roi_head.stages[0], shared_head=region_network),
            dict(_base_.model.roi_head.stages[1], shared_head=region_network),
        ]
    )
)
