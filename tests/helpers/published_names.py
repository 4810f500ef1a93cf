"""Names and shapes in the files of published methods, from how their networks are built."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

Shapes = Iterator[tuple[str, tuple[int, ...]]]
BLOCKS = {'layer1': (3, 64), 'layer2': (4, 128), 'layer3': (6, 256), 'layer4': (3, 512)}


def norm(name: str, width: int, affine: bool = True) -> Shapes:
    for part in ('weight', 'bias') if affine else ():
        yield f'{name}.{part}', (width,)
    yield f'{name}.running_mean', (width,)
    yield f'{name}.running_var', (width,)
    yield f'{name}.num_batches_tracked', ()


def dense(name: str, *shape: int, bias: bool = True) -> Shapes:
    yield f'{name}.weight', shape
    if bias:
        yield f'{name}.bias', shape[:1]


def layer(name: str, stage: str) -> Shapes:
    """A stage of torchvision's ResNet-50."""
    blocks, width = BLOCKS[stage]
    channels = 64 if stage == 'layer1' else 2 * width
    for number in range(blocks):
        block = f'{name}.{stage}.{number}'
        sizes = (width, channels, 1), (width, width, 3), (4 * width, width, 1)
        for i, (out, inside, kernel) in enumerate(sizes, 1):
            yield from dense(f'{block}.conv{i}', out, inside, kernel, kernel, bias=False)
            yield from norm(f'{block}.bn{i}', out)
        if number == 0:
            yield from dense(f'{block}.downsample.0', 4 * width, channels, 1, 1, bias=False)
            yield from norm(f'{block}.downsample.1', 4 * width)
        channels = 4 * width


def stem_and_proposals(anchors: int = 15) -> Shapes:
    yield from dense('backbone.conv1', 64, 3, 7, 7, bias=False)
    yield from norm('backbone.bn1', 64)
    for stage in ('layer1', 'layer2', 'layer3'):
        yield from layer('backbone', stage)
    yield from dense('rpn.head.conv', 1024, 1024, 3, 3)
    yield from dense('rpn.head.cls_logits', anchors, 1024, 1, 1)
    yield from dense('rpn.head.bbox_pred', 4 * anchors, 1024, 1, 1)


def norm_aware(kernel: tuple[int, ...] = ()) -> Shapes:
    """Box regression and embedding, with the kernel of a convolution where cells are embedded."""
    yield from dense('roi_heads.box_predictor.bbox_pred.0', 8, 2048)
    yield from norm('roi_heads.box_predictor.bbox_pred.1', 8)
    for name, channels in (('feat_res4', 1024), ('feat_res5', 2048)):
        there = f'roi_heads.embedding_head.projectors.{name}'
        yield from dense(f'{there}.0', 128, channels, *kernel)
        yield from norm(f'{there}.1', 128)
    yield from norm('roi_heads.embedding_head.rescaler', 1)


def tables(people: int, queue: int) -> Shapes:
    yield 'roi_heads.reid_loss.lut', (people, 256)
    yield 'roi_heads.reid_loss.cq', (queue, 256)


def seqnet(people: int = 482, queue: int = 500) -> Shapes:
    yield from stem_and_proposals()
    yield from layer('roi_heads.box_head', 'layer4')
    yield from norm_aware()
    yield from tables(people, queue)
    yield from dense('roi_heads.faster_rcnn_predictor.cls_score', 2, 2048)
    yield from dense('roi_heads.faster_rcnn_predictor.bbox_pred', 8, 2048)
    yield from layer('roi_heads.reid_head', 'layer4')


def nae(people: int = 482, queue: int = 500, kernel: tuple[int, ...] = ()) -> Shapes:
    yield from stem_and_proposals()
    yield from layer('roi_heads.box_head', 'layer4')
    yield from norm_aware(kernel)
    yield from dense('roi_heads.box_predictor.cls_score', 2, 2048)
    yield from tables(people, queue)


def naeplus(people: int = 482, queue: int = 500) -> Shapes:
    yield from nae(people, queue, (1, 1))


def oimnetpp(people: int = 482, queue: int = 500) -> Shapes:
    yield from stem_and_proposals(9)
    for head in ('box_head', 'reid_head'):
        yield from layer(f'roi_heads.{head}', 'layer4')
    yield from dense('roi_heads.box_predictor.bbox_cls', 2, 2048)
    yield from dense('roi_heads.box_predictor.bbox_pred', 8, 2048)
    there = 'roi_heads.embedding_head.projectors.feat_res5'
    yield from dense(f'{there}.0', 256, 2048, bias=False)
    yield from norm(f'{there}.1', 256, affine=False)
    yield from tables(people, queue)
    yield from dense('roi_heads.faster_rcnn_predictor.cls_score', 2, 2048)
    yield from dense('roi_heads.faster_rcnn_predictor.bbox_pred', 8, 2048)


PEOPLE, QUEUE = 482, 500


def moved(shapes: Shapes, there: str, here: str) -> Shapes:
    """With another beginning."""
    for name, shape in shapes:
        assert name.startswith(there)
        yield here + name.removeprefix(there), shape


def predictor(channels: int = 2048, name: str = 'faster_rcnn_predictor') -> Shapes:
    yield from dense(f'roi_heads.{name}.cls_score', 2, channels)
    yield from dense(f'roi_heads.{name}.bbox_pred', 8, channels)


def layer_norm(name: str, width: int) -> Shapes:
    yield f'{name}.weight', (width,)
    yield f'{name}.bias', (width,)


def oim() -> Shapes:
    number = 0

    def conv(out, inside, kernel):
        return dense(f'{part}.SpatialConvolution_{number}', out, inside, kernel, kernel)

    part = 'backbone'
    yield from conv(64, 3, 7)
    yield from norm('backbone.BN_1', 64)
    number, channels = 4, 64
    for part, width, blocks in (
        *(('backbone', 64, 3), ('backbone', 128, 4), ('backbone', 256, 3)),
        *(('head', 256, 3), ('head', 512, 3)),
    ):
        for _ in range(blocks):
            for kernel, out, inside in ((1, width, channels), (3, width, width)):
                yield from conv(out, inside, kernel)
                number += 1
                yield from norm(f'{part}.BN_{number}', out)
                number += 2
            yield from conv(4 * width, width, 1)
            number += 1
            if channels != 4 * width:
                yield from conv(4 * width, channels, 1)
                number += 1
            number += 1  # the sum
            yield from norm(f'{part}.BN_{number}', 4 * width)
            number, channels = number + 2, 4 * width
    yield from dense('rpn.rpn_conv', 512, 1024, 3, 3)
    yield from dense('rpn.rpn_cls_score', 18, 512, 1, 1)
    yield from dense('rpn.rpn_bbox_pred', 36, 512, 1, 1)
    yield from dense('cls_score', 2, 2048)
    yield from dense('bbox_pred', 8, 2048)
    yield from dense('feature', 256, 2048)
    yield 'labeled_matching_layer.lookup_table', (PEOPLE, 256)
    yield 'unlabeled_matching_layer.queue', (QUEUE, 256)
    yield 'unlabeled_matching_layer.tail', ()


def transformer_head(name: str) -> Shapes:
    encoder = f'{name}.transformer_encoder'
    for scale, kernel in (('scale1', 1), ('scale2', 3)):
        block = f'{encoder}.blocks.{scale}.0'
        for there in (f'{block}.transblock', f'{block}.transformer.0'):
            for part in ('query_embedding', 'value_embedding', 'key_embedding', 'output_linear'):
                yield from dense(f'{there}.attention.{part}', 128, 128)
            yield from dense(f'{there}.ffn.conv.0', 512, 128)
            yield from dense(f'{there}.ffn.conv.3', 128, 512)
            yield from layer_norm(f'{there}.norm1', 128)
            yield from layer_norm(f'{there}.norm2', 128)
        yield from dense(f'{block}.patch2vec', 128, 256, kernel, kernel)
        yield from dense(f'{block}.vec2patch.embedding', 256 * kernel**2, 128)
    yield from dense(f'{encoder}.output_linear.0', 512, 512, 3, 3)
    for part, out, inside in (('conv0', 1024, 1024), ('conv1', 512, 1024), ('conv2', 2048, 512)):
        yield from dense(f'{name}.{part}', out, inside, 1, 1, bias=False)


def coat() -> Shapes:
    yield from stem_and_proposals()
    for part in ('', '_1st', '_2nd', '_3rd'):
        yield from transformer_head(f'roi_heads.box_head{part}')
    yield from predictor(name='box_predictor_1st')
    for part in ('', '_2nd', '_3rd'):
        yield from dense(f'roi_heads.box_predictor{part}.bbox_pred.0', 8, 2048)
        yield from norm(f'roi_heads.box_predictor{part}.bbox_pred.1', 8)
    for part in ('2nd', '3rd'):
        for name, channels in (('before_trans', 1024), ('after_trans', 2048)):
            there = f'roi_heads.embedding_head_{part}.projectors.{name}'
            yield from dense(f'{there}.0', 128, channels)
            yield from norm(f'{there}.1', 128)
        yield from norm(f'roi_heads.embedding_head_{part}.rescaler', 1)
        yield from moved(
            tables(PEOPLE, QUEUE), 'roi_heads.reid_loss', f'roi_heads.reid_loss_{part}'
        )


def convnext_blocks(name: str, width: int, depth: int) -> Shapes:
    for block in (f'{name}.{i}' for i in range(depth)):
        yield f'{block}.layer_scale', (width, 1, 1)
        yield from dense(f'{block}.block.0', width, 1, 7, 7)
        yield from layer_norm(f'{block}.block.2', width)
        yield from dense(f'{block}.block.3', 4 * width, width)
        yield from dense(f'{block}.block.5', width, 4 * width)


def halved(name: str, given: int, made: int) -> Shapes:
    yield from layer_norm(f'{name}.0', given)
    yield from dense(f'{name}.1', made, given, 2, 2)


def convnext_region(name: str) -> Shapes:
    yield from halved(f'{name}.0', 512, 1024)
    yield from convnext_blocks(f'{name}.1', 1024, 3)


def projectors(name: str) -> Shapes:
    for part, channels in (('feat_res4', 512), ('feat_res5', 1024)):
        yield from dense(f'{name}.projectors.{part}.0', 1024, channels)
        yield from norm(f'{name}.projectors.{part}.1', 1024)


def gfn() -> Shapes:
    yield from dense('backbone.body.0.0', 128, 3, 4, 4)
    yield from layer_norm('backbone.body.0.1', 128)
    widths = (128, 256, 512)
    for i, (width, depth) in enumerate(zip(widths, (3, 3, 27), strict=True)):
        yield from convnext_blocks(f'backbone.body.{2 * i + 1}', width, depth)
    for i, (given, made) in enumerate(pairwise(widths), 1):
        yield from halved(f'backbone.body.{2 * i}', given, made)
    yield from dense('rpn.head.conv.0.0', 512, 512, 3, 3)
    yield from dense('rpn.head.cls_logits', 15, 512, 1, 1)
    yield from dense('rpn.head.bbox_pred', 60, 512, 1, 1)
    yield from predictor(1024)
    yield from dense('roi_heads.score_predictor.cls_score', 1, 1024)
    yield from dense('roi_heads.score_predictor.bbox_pred', 4, 1024)
    for part in ('prop_head', 'reid_head', 'box_head'):
        yield from convnext_region(f'roi_heads.{part}.head')
    yield from projectors('roi_heads.embedding_head')
    for part in ('gfn', 'roi_heads.gfn'):
        yield from convnext_region(f'{part}.query_reid_head.head')
        yield from convnext_region(f'{part}.head.image_reid_head.head')
        yield from projectors(f'{part}.query_emb_head')
        yield from projectors(f'{part}.head.image_emb_head')
        yield from norm(f'{part}.fuser.norm.norm', 2048)
    for part in ('roi_heads', 'gfn', 'roi_heads.gfn'):
        yield f'{part}.reid_loss.lut', (483, 2048)
        yield f'{part}.reid_loss.cq', (QUEUE, 2048)


def seqnext() -> Shapes:
    """GFN's without the gallery filter network."""
    for name, shape in gfn():
        if 'gfn.' not in name:
            yield name, shape


def mixing_head(name: str) -> Shapes:
    yield from moved(layer(name, 'layer4'), f'{name}.layer4', f'{name}.layer4.0')
    yield from dense(f'{name}.qconv1', 256, 1024, 1, 1)
    yield from dense(f'{name}.qconv2', 1024, 256, 1, 1)
    for part, width in (('token_mixer', 196), ('channel_mixer', 256)):
        mixer = f'{name}.mlP_model.mixers.{part}'
        yield from layer_norm(f'{mixer}.norm', 256)
        yield from dense(f'{mixer}.mlp.fc1', 3 * width, width)
        yield from dense(f'{mixer}.mlp.fc2', width, 3 * width)
        if part == 'token_mixer':
            yield from dense(f'{mixer}.spatial_att.spatial.conv', 1, 2, 7, 7, bias=False)
            yield from norm(f'{mixer}.spatial_att.spatial.bn', 1)
        else:
            yield from dense(f'{mixer}.channel_att.mlp.1', 16, 256)
            yield from dense(f'{mixer}.channel_att.mlp.3', 256, 16)


def psarm() -> Shapes:
    for name, shape in stem_and_proposals():
        name = name.replace('backbone.conv1', 'backbone.feature1.0')
        name = name.replace('backbone.bn1', 'backbone.feature1.1')
        for stage in BLOCKS:
            name = name.replace(f'backbone.{stage}.', f'backbone.{stage}.0.')
        yield name, shape
    yield from mixing_head('roi_heads.box_head')
    yield from mixing_head('roi_heads.reid_head')
    yield from predictor()
    yield from norm_aware()
    yield from tables(PEOPLE, QUEUE)


def glcnet() -> Shapes:
    for name, shape in stem_and_proposals():
        yield name.replace('backbone.', 'backbone.bb.'), shape
    for part in ('', 'roi_heads.'):
        for i, (given, made) in enumerate(((1024, 256), (256, 256), (256, 1024))):
            yield from dense(f'{part}cxt_feat_extractor_scenario.{3 * i}', made, given, 3, 3)
            yield from norm(f'{part}cxt_feat_extractor_scenario.{3 * i + 1}', made)
    yield from layer('roi_heads.box_head', 'layer4')
    yield from layer('roi_heads.reid_head', 'layer4')
    yield from predictor()
    there = 'roi_heads.embedding_head.projectors.'
    for name, shape in norm_aware():
        # The first map gives twice as much here.
        wide = name.startswith(f'{there}feat_res4.') and shape[:1] == (128,)
        yield name, (256, *shape[1:]) if wide else shape
    yield from dense(f'{there}cxt_scenario.0', 128, 1024)
    yield from norm(f'{there}cxt_scenario.1', 128)
    yield 'roi_heads.reid_loss.lut', (PEOPLE, 512)
    yield 'roi_heads.reid_loss.cq', (QUEUE, 512)


def swin(name: str) -> Shapes:
    yield from dense(f'{name}.patch_embed.projection', 96, 3, 4, 4)
    yield from layer_norm(f'{name}.patch_embed.norm', 96)
    for stage, depth in enumerate((2, 2, 6, 2)):
        width = 96 * 2**stage
        for block in (f'{name}.stages.{stage}.blocks.{i}' for i in range(depth)):
            yield from layer_norm(f'{block}.norm1', width)
            yield from layer_norm(f'{block}.norm2', width)
            attention = f'{block}.attn.w_msa'
            yield f'{attention}.relative_position_bias_table', (169, 3 * 2**stage)
            yield f'{attention}.relative_position_index', (49, 49)
            yield from dense(f'{attention}.qkv', 3 * width, width)
            yield from dense(f'{attention}.proj', width, width)
            yield from dense(f'{block}.ffn.layers.0.0', 4 * width, width)
            yield from dense(f'{block}.ffn.layers.1', width, 4 * width)
        if stage < 3:
            yield from layer_norm(f'{name}.stages.{stage}.downsample.norm', 4 * width)
            there = f'{name}.stages.{stage}.downsample.reduction'
            yield from dense(there, 2 * width, 4 * width, bias=False)
        yield from layer_norm(f'{name}.norm{stage}', width)
        for part in ('w', 'b'):
            yield from dense(f'{name}.semantic_embed_{part}.{stage}', min(2 * width, 768), 2)


def solider() -> Shapes:
    for name in ('backbone', 'roi_heads.box_head', 'roi_heads.reid_head'):
        yield from swin(f'{name}.swin')
    yield from dense('rpn.head.conv', 384, 384, 3, 3)
    yield from dense('rpn.head.cls_logits', 15, 384, 1, 1)
    yield from dense('rpn.head.bbox_pred', 60, 384, 1, 1)
    yield from predictor(768)
    for name, shape in norm_aware():
        if name.endswith('.0.weight'):
            shape = shape[0], 384 if 'feat_res4' in name else 768
        yield name, shape
    yield from tables(PEOPLE, QUEUE)


METHODS = {
    method.__name__: method
    for method in (
        *(seqnet, nae, naeplus, oimnetpp, oim, coat, seqnext, gfn),
        *(psarm, glcnet, solider),
    )
}
BACKBONES = dict(oim='r50-2017', seqnext='convnext-b', gfn='convnext-b', solider='swin-t')


def model_name(method: str) -> str:
    """Of the config for PRW."""
    return f'{method}_{BACKBONES.get(method, "r50")}_prw'
