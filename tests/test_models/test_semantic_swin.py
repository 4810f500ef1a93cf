import math

import torch
from mmdet.models.backbones.swin import SwinTransformer

from mmps.models.backbones.semantic_swin import (
    SemanticMerging,
    SemanticSwin,
    SemanticSwinIdentification,
)


def test_without_semantics_it_is_mmdets_swin_cut_in_two():
    torch.manual_seed(0)
    sizes = dict(embed_dims=8, depths=(1, 1, 2, 2), num_heads=(1, 2, 2, 4))
    whole = SwinTransformer(**sizes)
    whole.eval()  # gives nothing back
    sizes.update(depths=sizes['depths'][:3], num_heads=sizes['num_heads'][:3])
    stem = SemanticSwin(**sizes).eval()
    rest = SemanticSwinIdentification(32, depth=2, num_heads=4).eval()
    state = {
        key.replace('downsample.', 'downsample.merging.'): value
        for key, value in whole.state_dict().items()
    }
    neutral = {'weight': 0.0, 'scale.bias': math.log(math.e - 1), 'shift.bias': 0.0}
    for part, renamed in ((stem, state), (rest, _of_rest(state))):
        for name in part.state_dict().keys() - renamed.keys():
            assert '.scale.' in name or '.shift.' in name, name
            fill = next(value for end, value in neutral.items() if name.endswith(end))
            renamed[name] = torch.full_like(part.state_dict()[name], fill)
        part.load_state_dict({name: renamed[name] for name in part.state_dict()})
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = whole(images)
        (x,) = stem(images)
        assert x.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(x, expected[2], atol=1e-5, rtol=1e-5)
        # The last stage of the whole network takes the map before its norm.
        x, size = whole.patch_embed(images)
        for stage in whole.stages[:2]:
            x, size, _, _ = stage(x, size)
        _, _, x, size = whole.stages[2](x, size)
        regions = x.transpose(1, 2).unflatten(2, size)
        torch.testing.assert_close(rest(regions), expected[3], atol=1e-5, rtol=1e-5)


def _of_rest(state):
    found = {}
    for key, value in state.items():
        for theirs, ours in (
            ('stages.2.downsample.', 'merge.'),
            ('stages.3.', 'stage.'),
            ('norm3.', 'norm.'),
        ):
            if key.startswith(theirs):
                found[ours + key.removeprefix(theirs)] = value
    return found


def test_semantics_scale_and_shift_the_merged_channels():
    class Merging(torch.nn.Module):
        out_channels = 2

        def forward(self, x, size):
            return x, size

    merging = SemanticMerging(Merging(), semantic_weight=0.6)
    merging.scale.weight.data = torch.tensor([[1.0, 2.0], [0.0, -5.0]])
    merging.shift.weight.data = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    merging.scale.bias.data = torch.tensor([0.1, 0.2])
    x, _ = merging(torch.tensor([[[3.0, 4.0]]]), (1, 1))
    # Weights .6 and .4: softplus of 1.5 and -1.8, shifts of .4 and .6.
    scale = [math.log1p(math.exp(1.5)), math.log1p(math.exp(-1.8))]
    torch.testing.assert_close(x[0, 0], torch.tensor([3 * scale[0] + 0.4, 4 * scale[1] + 0.6]))
