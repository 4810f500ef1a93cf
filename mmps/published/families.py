"""Where the weights of published files go: a table of names for each method.

A line of a table says of keys of a file what they are called here::

    THERE -> HERE            # or, with what is done to the tensor: THERE -> HERE, CHANGE
    THERE = OTHER            # holds the same numbers as the published key OTHER
    THERE                    # nobody uses it

THERE is a regular expression for the beginning of a key, in which a dot is a dot; HERE and OTHER
stand in its place, with ``\\1`` for groups as in ``re.sub``. The first line that fits counts.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

IDENTITIES = {'prw': 482, 'cuhk-sysu': 5532}
MAPS = ('feat_res4', 'feat_res5')


@dataclass(frozen=True)
class Rule:
    """A line of a table."""

    pattern: str
    name: str | None = None
    change: Callable[[Tensor], Tensor] | None = None
    same_as: str | None = None


@dataclass(frozen=True)
class Family:
    """Files of one method.

    Attributes:
        method: As names of models begin.
        backbone: As they go on.
        marks: Expressions as in a table; keys of these files match each of them. The first family
            that fits counts.
        rules: For all keys.
        identities: How many people each data set has, by its name: rows of ``lut_key``.
        lut_key: Published key of OIM's look-up table.
        per_cell: Whether the re-ID head of its configs embeds each cell, which no weight shows;
            None: weights of no other method fit.
    """

    method: str
    backbone: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...]
    identities: Mapping[str, int] = field(default_factory=lambda: IDENTITIES)
    lut_key: str = 'roi_heads.reid_loss.lut'
    per_cell: bool | None = None

    def name_for(self, dataset: str) -> str:
        """Of the model and config for a data set."""
        return f'{self.method}_{self.backbone}_{dataset}'

    def dataset_of(self, weights: Mapping[str, Tensor]) -> str | None:
        """The data set that has as many identities as the table of published weights has rows."""
        people = len(weights.get(self.lut_key, ()))
        return next((name for name, count in self.identities.items() if count == people), None)

    def fits(self, weights: Mapping[str, Tensor]) -> bool:
        """Whether these weights, under their published names, are of this family."""
        marks = map(_expression, self.marks)
        if not all(any(re.match(mark, key) for key in weights) for mark in marks):
            return False
        if self.per_cell is None or PROJECTION not in weights:
            return True
        # What embeds each cell is a 1 x 1 convolution.
        return (weights[PROJECTION].ndim == 4) == self.per_cell


def _expression(there: str) -> str:
    return there.replace('.', r'\.')


def person_rows(weights: Tensor) -> Tensor:
    """Of box regression for background and person, ``(8, ...)``, the person's."""
    return weights[4:]


def person_first(weights: Tensor) -> Tensor:
    """Of the classes background and person, ``(2, ...)``, the person before the background."""
    return weights.flip(0)


def as_linear(weights: Tensor) -> Tensor:
    """A linear layer, of which a 1 x 1 convolution ``(out, in, 1, 1)`` is the same on cells."""
    return weights.flatten(1) if weights.ndim == 4 else weights


def by_anchor(weights: Tensor) -> Tensor:
    """Of the classes of nine anchors, all background before all persons, ``(18, ...)``: person and
    background of each anchor.
    """
    return weights.unflatten(0, (2, -1)).flip(0).transpose(0, 1).flatten(0, 1)


CHANGES = {change.__name__: change for change in (person_rows, person_first, as_linear, by_anchor)}
"""What is done to tensors. Counters, which have no axis, are left as they are."""


def rules_of(table: str) -> tuple[Rule, ...]:
    """The lines of a table."""
    found = []
    for line in filter(None, map(str.strip, table.splitlines())):
        there, sign, here = re.fullmatch(r'(\S+)(?: (->|=) (.*))?', line).groups()
        name, _, change = (here or '').partition(', ')
        found.append(
            Rule(
                _expression(there),
                name=name if sign == '->' else None,
                change=CHANGES.get(change),
                same_as=name if sign == '=' else None,
            )
        )
    return tuple(found)


def below(there: str, here: str, table: str) -> str:
    """A table whose keys all begin with something else, there and here."""
    lines = (line.strip().split(' -> ') for line in table.strip().splitlines())
    return '\n'.join(f'{there}{one} -> {here}{other}' for one, other in lines)


STAGE = 'roi_head.stages.{}.'
BACKBONE = 'backbone.(?=(conv1|bn1|layer[123]).) -> backbone.'
RPN = """
    rpn.head.conv.(0.0.)? -> rpn_head.rpn_conv.
    rpn.head.cls_logits. -> rpn_head.rpn_cls.
    rpn.head.bbox_pred. -> rpn_head.rpn_reg.
"""
"""torchvision's proposal network, before and since 0.13."""
PROJECTION = 'roi_heads.embedding_head.projectors.feat_res5.0.weight'


def projections(there: str, here: str, maps: Iterable[str], change: str = '') -> str:
    """Linear layers with batch norm behind them, which embed maps."""
    lines = (
        f'{name}.0. -> {i}.linear.{change}\n{name}.1. -> {i}.norm.' for i, name in enumerate(maps)
    )
    return below(f'{there}.projectors.', f'{here}projections.', '\n'.join(lines))


def region(stage: int, there: str) -> str:
    """The region network of a stage."""
    return f'roi_heads.{there}. -> {STAGE.format(stage)}shared_head.network.'


def first_stage(there: str = 'faster_rcnn_predictor') -> str:
    """torchvision's class and box predictor, in the first stage."""
    return f"""
        roi_heads.{there}.cls_score. -> {STAGE.format(0)}bbox_head.fc_cls., person_first
        roi_heads.{there}.bbox_pred. -> {STAGE.format(0)}bbox_head.fc_reg., person_rows
    """


def norm_aware(
    stage: int, maps: Iterable[str] = MAPS, suffix: str = '', rescaled: bool = True
) -> str:
    """Norm-aware embedding of these maps with OIM's tables, in a stage."""
    head, here = f'roi_heads.embedding_head{suffix}', f'{STAGE.format(stage)}reid_head.'
    return f"""
        {projections(head, here, maps, ', as_linear')}
        {f'{head}.rescaler. -> {here}length_norm.' if rescaled else ''}
        roi_heads.reid_loss{suffix}.lut$ -> {here}criterion.lut
        roi_heads.reid_loss{suffix}.cq$ -> {here}criterion.queue
    """


def norm_aware_box(stage: int, suffix: str = '') -> str:
    """Box regression with batch norm behind it, in a stage."""
    there, here = f'roi_heads.box_predictor{suffix}', f'{STAGE.format(stage)}bbox_head.fc_reg'
    return f"""
        {there}.bbox_pred.0. -> {here}.linear., person_rows
        {there}.bbox_pred.1. -> {here}.norm., person_rows
    """


def sequential(first: str = '', second: str = '', maps: Iterable[str] = MAPS) -> str:
    """What SeqNet and its forks have in common but the stem; ``first`` and ``second``: tables of
    other region networks than ResNet's.
    """
    return f"""
        {RPN}
        {first or region(0, 'box_head')}
        {first_stage()}
        {second or region(1, 'reid_head')}
        {norm_aware_box(1)}
        {norm_aware(1, maps)}
    """


NAE = f"""
    {BACKBONE}
    {RPN}
    {region(0, 'box_head')}
    roi_heads.box_predictor.cls_score.
    {norm_aware_box(0)}
    {norm_aware(0)}
"""
"""The class predictor is made, saved and never called."""
NAE_MARKS = ('roi_heads.box_predictor.cls_score.', 'roi_heads.embedding_head.projectors.')

OIMNETPP = f"""
    {BACKBONE}
    {RPN}
    {region(0, 'reid_head')}
    roi_heads.(box_head|faster_rcnn_predictor).
    roi_heads.box_predictor.bbox_cls. -> {STAGE.format(0)}bbox_head.fc_cls., person_first
    roi_heads.box_predictor.bbox_pred. -> {STAGE.format(0)}bbox_head.fc_reg., person_rows
    {norm_aware(0, ('feat_res5',), rescaled=False)}
"""
"""Two parts are made, saved and never called."""


def _post_sum_resnet() -> Iterator[str]:
    """OIM numbers the layers of Caffe's ResNet-50 through, activations and sums among them."""
    yield 'backbone.SpatialConvolution_0. -> backbone.conv1.'
    yield 'backbone.BN_1. -> backbone.norm1.'
    number = 4
    stem, rest = ('backbone', 'backbone'), ('head', 'roi_head.shared_head')
    for (there, here), stage, blocks, widens in (
        (stem, 'conv2', 3, True),
        (stem, 'conv3', 4, True),
        (stem, 'conv4', 3, True),
        (rest, 'conv4', 3, False),
        (rest, 'conv5', 3, True),
    ):
        for block in range(blocks):
            shortcut = widens and block == 0
            parts = {0: 'conv1', 1: 'norm1', 3: 'conv2', 4: 'norm2', 6: 'conv3'}
            parts |= {7: 'shortcut', 9: 'norm3'} if shortcut else {8: 'norm3'}
            for place, part in parts.items():
                kind = 'BN' if part.startswith('norm') else 'SpatialConvolution'
                yield f'{there}.{kind}_{number + place}. -> {here}.{stage}.{block}.{part}.'
            number += 11 if shortcut else 10


OIM_2017 = (
    '\n'.join(_post_sum_resnet())
    + """
    rpn.rpn_conv. -> rpn_head.rpn_conv.
    rpn.rpn_cls_score. -> rpn_head.rpn_cls., by_anchor
    rpn.rpn_bbox_pred. -> rpn_head.rpn_reg.
    cls_score. -> roi_head.bbox_head.fc_cls., person_first
    bbox_pred. -> roi_head.bbox_head.fc_reg., person_rows
    feature. -> roi_head.reid_head.project.
    labeled_matching_layer.lookup_table$ -> roi_head.reid_head.criterion.lut
    unlabeled_matching_layer.queue$ -> roi_head.reid_head.criterion.queue
    unlabeled_matching_layer.tail$ -> roi_head.reid_head.criterion.queue_pointer
"""
)


def _occluded_attention(stage: int) -> str:
    there = f'roi_heads.box_head_{("1st", "2nd", "3rd")[stage]}.'
    here = f'{STAGE.format(stage)}shared_head.network.'
    encoder = f'{there}transformer_encoder.'
    block = """
        patch2vec. -> to_tokens.
        vec2patch.embedding. -> to_cells.
        transblock.attention.(query|key|value)_embedding. -> \\1.
        transblock.attention.output_linear. -> out.
        transblock.ffn.conv.0. -> ffn.0.
        transblock.ffn.conv.3. -> ffn.2.
        transblock.(norm[12]). -> \\1.
    """
    # The first stage has the convolution conv0, too, and goes by it; output_linear is never called.
    return f"""
        {there}conv0.{f' -> {here}skip.' if stage else ''}
        {there}conv1. -> {here}reduce.
        {there}conv2. -> {here}expand.
        {encoder}output_linear.
        {below(f'{encoder}blocks.scale1.0.', f'{here}scales.0.', block)}
        {below(f'{encoder}blocks.scale2.0.', f'{here}scales.1.', block)}
    """


_COAT_MAPS = ('before_trans', 'after_trans')
COAT = f"""
    {BACKBONE}
    {RPN}
    roi_heads.box_head. = roi_heads.box_head_1st.
    roi_heads.box_predictor. = roi_heads.box_predictor_2nd.
    (roi_heads.box_head_\\w+.transformer_encoder.blocks.\\w+.0.)transformer.0. = \\1transblock.
    {_occluded_attention(0)}
    {_occluded_attention(1)}
    {_occluded_attention(2)}
    {first_stage('box_predictor_1st')}
    {norm_aware_box(1, '_2nd')}
    {norm_aware_box(2, '_3rd')}
    {norm_aware(1, _COAT_MAPS, '_2nd')}
    {norm_aware(2, _COAT_MAPS, '_3rd')}
"""


def _seqnext(stem: str, network: str) -> str:
    """Of SeqNeXt, with and without the gallery filter network, whose parts that several modules
    share are saved once for each; ``network`` is the table of a region network.
    """
    first, second = (STAGE.format(stage) for stage in (0, 1))
    return f"""
        backbone.body. -> {stem}
        {RPN}
        roi_heads.gfn. = gfn.
        gfn.query_reid_head. = roi_heads.reid_head.
        gfn.query_emb_head. = roi_heads.embedding_head.
        gfn.reid_loss. = roi_heads.reid_loss.
        roi_heads.box_head. = roi_heads.reid_head.
        {below('roi_heads.prop_head.head.', f'{first}shared_head.network.', network)}
        {first_stage()}
        {below('roi_heads.reid_head.head.', f'{second}shared_head.network.', network)}
        roi_heads.score_predictor.cls_score. -> {second}bbox_head.fc_cls.
        roi_heads.score_predictor.bbox_pred. -> {second}bbox_head.fc_reg.
        {norm_aware(1, rescaled=False)}
        {below('gfn.head.image_reid_head.head.', 'scene_head.shared_head.network.', network)}
        {projections('gfn.head.image_emb_head', 'scene_head.', MAPS)}
        gfn.fuser.norm.norm. -> scene_head.norm.
    """


SEQNEXT = {
    'convnext-b': _seqnext('backbone.features.', '0. -> features.6.\n1. -> features.7.'),
    'r50': _seqnext('backbone.', r'(\d.) -> layer4.\1'),
}
SEQNEXT_MARKS = {'convnext-b': 'backbone.body.0.', 'r50': 'backbone.body.layer1.'}


def _relation_mixer(stage: int, there: str) -> str:
    table = """
        qconv1. -> reduce.
        qconv2. -> expand.
        layer4.0. -> network.layer4.
        mlP_model.mixers.token_mixer.norm. -> cell_norm.
        mlP_model.mixers.token_mixer.mlp.fc1. -> cell_mlp.0.
        mlP_model.mixers.token_mixer.mlp.fc2. -> cell_mlp.3.
        mlP_model.mixers.token_mixer.spatial_att.spatial.conv. -> cell_gate.conv.
        mlP_model.mixers.token_mixer.spatial_att.spatial.bn. -> cell_gate.norm.
        mlP_model.mixers.channel_mixer.norm. -> channel_norm.
        mlP_model.mixers.channel_mixer.mlp.fc1. -> channel_mlp.0.
        mlP_model.mixers.channel_mixer.mlp.fc2. -> channel_mlp.3.
        mlP_model.mixers.channel_mixer.channel_att.mlp.1. -> channel_gate.mlp.0.
        mlP_model.mixers.channel_mixer.channel_att.mlp.3. -> channel_gate.mlp.2.
    """
    return below(f'roi_heads.{there}.', f'{STAGE.format(stage)}shared_head.network.', table)


PSARM = f"""
    backbone.feature1.0. -> backbone.conv1.
    backbone.feature1.1. -> backbone.bn1.
    backbone.(layer[123]).0. -> backbone.\\1.
    {sequential(_relation_mixer(0, 'box_head'), _relation_mixer(1, 'reid_head'))}
"""

_CONTEXT = 'cxt_feat_extractor_scenario.'
_CONTEXT_LAYERS = '\n'.join(
    f'{3 * i}. -> conv{i + 1}.\n{3 * i + 1}. -> norm{i + 1}.' for i in range(3)
)
GLCNET = f"""
    backbone.bb. -> backbone.
    roi_heads.{_CONTEXT} = {_CONTEXT}
    {below(_CONTEXT, 'neck.layers.', _CONTEXT_LAYERS)}
    {sequential(maps=(*MAPS, 'cxt_scenario'))}
"""

_SWIN_REGION = """
    stages.2.downsample. -> merge.merging.
    semantic_embed_w.2. -> merge.scale.
    semantic_embed_b.2. -> merge.shift.
    stages.3. -> stage.
    norm3. -> norm.
"""
_SWIN_STEM = """
    stages.([01]).downsample. -> stages.\\1.downsample.merging.
    semantic_embed_w.([01]). -> stages.\\1.downsample.scale.
    semantic_embed_b.([01]). -> stages.\\1.downsample.shift.
    (patch_embed|stages|norm2). -> \\1.
"""
_SWIN_NETWORKS = [f'{STAGE.format(stage)}shared_head.network.' for stage in (0, 1)]
_SWIN_SECOND = f"""
    {below('roi_heads.reid_head.swin.', _SWIN_NETWORKS[1], _SWIN_REGION)}
    roi_heads.reid_head.swin.
"""
SOLIDER = f"""
    {below('backbone.swin.', _SWIN_NETWORKS[0], _SWIN_REGION)}
    {below('backbone.swin.', 'backbone.', _SWIN_STEM)}
    backbone.swin.
    {sequential('roi_heads.box_head.swin. = backbone.swin.', _SWIN_SECOND)}
"""
"""Each stage saves a whole network; that of the first is the stem's. Norms of maps that nobody
takes, and what comes behind the last stage, are left out.
"""

SEQNET = f'{BACKBONE}\n{sequential()}'
OLD_TABLE = 'labeled_matching_layer.lookup_table'
GFN_IDENTITIES = {'prw': 483, 'cuhk-sysu': 5532}
SEQNET_MARKS = ('roi_heads.faster_rcnn_predictor.', 'roi_heads.reid_head.layer4.')
FAMILIES = (
    Family(
        'oim',
        'r50-2017',
        ('backbone.SpatialConvolution_0.',),
        rules_of(OIM_2017),
        lut_key=OLD_TABLE,
    ),
    Family(
        'coat',
        'r50',
        ('roi_heads.box_head_3rd.',),
        rules_of(COAT),
        lut_key='roi_heads.reid_loss_2nd.lut',
    ),
    *(
        Family(method, backbone, (SEQNEXT_MARKS[backbone], *marks), rules_of(table), GFN_IDENTITIES)
        for method, marks in (('gfn', ('gfn.fuser.',)), ('seqnext', ()))
        for backbone, table in SEQNEXT.items()
    ),
    Family('psarm', 'r50', ('backbone.feature1.',), rules_of(PSARM)),
    Family('glcnet', 'r50', ('backbone.bb.', _CONTEXT), rules_of(GLCNET)),
    Family('solider', 'swin-t', ('backbone.swin.',), rules_of(SOLIDER)),
    Family('oimnetpp', 'r50', ('roi_heads.box_predictor.bbox_cls.',), rules_of(OIMNETPP)),
    Family('seqnet', 'r50', SEQNET_MARKS, rules_of(SEQNET)),
    Family('naeplus', 'r50', NAE_MARKS, rules_of(NAE), per_cell=True),
    Family('nae', 'r50', NAE_MARKS, rules_of(NAE), per_cell=False),
)
"""What is known, the more particular before the more general."""


def recognise(weights: Mapping[str, Tensor]) -> Family | None:
    """The family of published weights; None: they are nobody's that mmps knows."""
    return next((family for family in FAMILIES if family.fits(weights)), None)
