"""Where the weights of published files go: a table of names for each method.

A :class:`Family` says for every key of its files what it is called here, that it holds what another
key holds, or that nobody uses it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """Where the keys go that a pattern matches.

    Attributes:
        pattern: A regular expression for the beginning of a key. The first rule that matches
            counts.
        name: What stands in place of what was matched, with ``\\1`` for groups as in ``re.sub``;
            None: the weights are not used.
        change: What is done to the tensor. Counters, which have no axis, are left as they are.
        same_as: The published key, written as ``name`` is, that holds the same numbers; the two are
            compared, and this one is left out.
    """

    pattern: str
    name: str | None = None
    change: Change | None = None
    same_as: str | None = None


@dataclass(frozen=True)
class Family:
    """Files of one method.

    Attributes:
        method: As names of models begin.
        backbone: As they go on.
        marks: Regular expressions; keys of these files match each of them. The first family that
            fits counts.
        rules: For all keys.
        axes: Of tensors whose keys match an expression, how many axes they have.
        per_cell: Whether the re-ID head of its configs embeds each cell, which no weight shows;
            None: weights of no other method fit.
        identities: How many people each data set has, by its name: rows of ``lut_key``.
        lut_key: Published key of OIM's look-up table.
    """

    method: str
    backbone: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...]
    identities: Mapping[str, int] = field(default_factory=lambda: IDENTITIES)
    axes: Mapping[str, int] = field(default_factory=dict)
    per_cell: bool | None = None
    lut_key: str = 'roi_heads.reid_loss.lut'

    def name_for(self, dataset: str) -> str:
        """Of the model and config for a data set."""
        return f'{self.method}_{self.backbone}_{dataset}'

    def dataset_of(self, weights: Mapping[str, Tensor]) -> str | None:
        """The data set that has as many identities as the table of published weights has rows."""
        people = len(weights.get(self.lut_key, ()))
        return next((name for name, count in self.identities.items() if count == people), None)

    def fits(self, weights: Mapping[str, Tensor]) -> bool:
        """Whether these weights, under their published names, are of this family."""
        if not all(any(re.match(mark, key) for key in weights) for mark in self.marks):
            return False
        return all(
            value.ndim == axes
            for mark, axes in self.axes.items()
            for key, value in weights.items()
            if re.match(mark, key)
        )


def person_rows(weights: Tensor) -> Tensor:
    """Of box regression for background and person, ``(8, ...)``, the person's."""
    return weights[4:]


def person_first(weights: Tensor) -> Tensor:
    """Of the classes background and person, ``(2, ...)``, the person before the background."""
    return weights.flip(0)


def as_linear(weights: Tensor) -> Tensor:
    """A linear layer, of which a 1 x 1 convolution ``(out, in, 1, 1)`` is the same on cells."""
    return weights.flatten(1) if weights.ndim == 4 else weights


RPN = (
    Rule(r'rpn\.head\.conv\.(0\.0\.)?', 'rpn_head.rpn_conv.'),
    Rule(r'rpn\.head\.cls_logits\.', 'rpn_head.rpn_cls.'),
    Rule(r'rpn\.head\.bbox_pred\.', 'rpn_head.rpn_reg.'),
)
"""torchvision's proposal network, before and since 0.13."""


def linear_norm(published: str, name: str, change: Change | None = None) -> tuple[Rule, ...]:
    """A linear layer with batch norm behind it."""
    return (
        Rule(rf'{published}\.0\.', f'{name}.linear.', change),
        Rule(rf'{published}\.1\.', f'{name}.norm.', change),
    )


MAPS = ('feat_res4', 'feat_res5')


def embedding(stage: int, maps: Iterable[str] = MAPS, published: str = 'embedding_head') -> tuple:
    """Norm-aware embedding of these maps, in a stage."""
    head = f'roi_head.stages.{stage}.reid_head'
    found: tuple[Rule, ...] = ()
    for number, name in enumerate(maps):
        there = rf'roi_heads\.{published}\.projectors\.{name}'
        linear, norm = linear_norm(there, f'{head}.projections.{number}')
        found += Rule(linear.pattern, linear.name, as_linear), norm
    return *found, Rule(rf'roi_heads\.{published}\.rescaler\.', f'{head}.length_norm.')


def tables(stage: int, published: str = 'reid_loss') -> tuple[Rule, ...]:
    """OIM's tables of a stage."""
    head = f'roi_head.stages.{stage}.reid_head.criterion'
    return (
        Rule(rf'roi_heads\.{published}\.lut$', f'{head}.lut'),
        Rule(rf'roi_heads\.{published}\.cq$', f'{head}.queue'),
    )


def norm_aware_box(stage: int, published: str = 'box_predictor') -> tuple[Rule, ...]:
    """Box regression with batch norm behind it, in a stage."""
    name = f'roi_head.stages.{stage}.bbox_head.fc_reg'
    return linear_norm(rf'roi_heads\.{published}\.bbox_pred', name, person_rows)


def first_stage(published: str = 'faster_rcnn_predictor') -> tuple[Rule, ...]:
    """torchvision's class and box predictor, in the first stage."""
    head = 'roi_head.stages.0.bbox_head'
    return (
        Rule(rf'roi_heads\.{published}\.cls_score\.', f'{head}.fc_cls.', person_first),
        Rule(rf'roi_heads\.{published}\.bbox_pred\.', f'{head}.fc_reg.', person_rows),
    )


def region(stage: int, published: str) -> Rule:
    """The region network of a stage."""
    return Rule(rf'roi_heads\.{published}\.', f'roi_head.stages.{stage}.shared_head.network.')


BACKBONE = Rule(r'backbone\.(?=(conv1|bn1|layer[123])\.)', 'backbone.')
IDENTITIES = {'prw': 482, 'cuhk-sysu': 5532}

NAE = (
    BACKBONE,
    *RPN,
    region(0, 'box_head'),
    # Made, saved and never called.
    Rule(r'roi_heads\.box_predictor\.cls_score\.'),
    *norm_aware_box(0),
    *embedding(0),
    *tables(0),
)
NAE_MARKS = (r'roi_heads\.box_predictor\.cls_score\.', r'roi_heads\.embedding_head\.projectors\.')
PROJECTION = r'roi_heads\.embedding_head\.projectors\.feat_res5\.0\.weight'


def renamed(there: str, here: str, pairs: Iterable[tuple[str, str]]) -> tuple[Rule, ...]:
    """Keys that begin with one expression, by how they go on there and here."""
    return tuple(Rule(there + published, here + name) for published, name in pairs)


def sequential(
    regions: Callable[[int, str], Iterable[Rule]] = lambda *stage: (region(*stage),),
    maps: Iterable[str] = MAPS,
) -> tuple[Rule, ...]:
    """What SeqNet and its forks have in common but the stem.

    ``regions`` gives the rules of a stage's region network by its number and published name.
    """
    return (
        *RPN,
        *regions(0, 'box_head'),
        *first_stage(),
        *regions(1, 'reid_head'),
        *norm_aware_box(1),
        *embedding(1, maps),
        *tables(1),
    )


def _post_sum_resnet() -> Iterator[tuple[str, str]]:
    """OIM numbers the layers of Caffe's ResNet-50 through, activations and sums among them."""
    yield r'backbone\.SpatialConvolution_0\.', 'backbone.conv1.'
    yield r'backbone\.BN_1\.', 'backbone.norm1.'
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
                yield rf'{there}\.{kind}_{number + place}\.', f'{here}.{stage}.{block}.{part}.'
            number += 11 if shortcut else 10


def _by_anchor(weights: Tensor) -> Tensor:
    """Of the classes of nine anchors, all background before all persons, ``(18, ...)``: person and
    background of each anchor.
    """
    return weights.unflatten(0, (2, -1)).flip(0).transpose(0, 1).flatten(0, 1)


OIM_2017 = (
    *renamed('', '', _post_sum_resnet()),
    Rule(r'rpn\.rpn_conv\.', 'rpn_head.rpn_conv.'),
    Rule(r'rpn\.rpn_cls_score\.', 'rpn_head.rpn_cls.', _by_anchor),
    Rule(r'rpn\.rpn_bbox_pred\.', 'rpn_head.rpn_reg.'),
    Rule(r'cls_score\.', 'roi_head.bbox_head.fc_cls.', person_first),
    Rule(r'bbox_pred\.', 'roi_head.bbox_head.fc_reg.', person_rows),
    Rule(r'feature\.', 'roi_head.reid_head.project.'),
    Rule(r'labeled_matching_layer\.lookup_table$', 'roi_head.reid_head.criterion.lut'),
    Rule(r'unlabeled_matching_layer\.queue$', 'roi_head.reid_head.criterion.queue'),
    Rule(r'unlabeled_matching_layer\.tail$', 'roi_head.reid_head.criterion.queue_pointer'),
)


def _occluded_attention(stage: int, published: str) -> tuple[Rule, ...]:
    there = rf'roi_heads\.{published}\.'
    encoder = there + r'transformer_encoder\.'
    here = f'roi_head.stages.{stage}.shared_head.network.'
    rules = (
        # The first stage has the convolution, too, and goes by it.
        Rule(there + r'conv0\.', f'{here}skip.' if stage else None),
        *renamed(there, here, ((r'conv1\.', 'reduce.'), (r'conv2\.', 'expand.'))),
        # Made, saved and never called.
        Rule(encoder + r'output_linear\.'),
    )
    for scale in (0, 1):
        block = encoder + rf'blocks\.scale{scale + 1}\.0\.'
        pairs = (
            (r'patch2vec\.', 'to_tokens.'),
            (r'vec2patch\.embedding\.', 'to_cells.'),
            (r'transblock\.attention\.(query|key|value)_embedding\.', r'\1.'),
            (r'transblock\.attention\.output_linear\.', 'out.'),
            (r'transblock\.ffn\.conv\.0\.', 'ffn.0.'),
            (r'transblock\.ffn\.conv\.3\.', 'ffn.2.'),
            (r'transblock\.(norm[12])\.', r'\1.'),
        )
        rules += renamed(block, f'{here}scales.{scale}.', pairs)
    return rules


_COAT_MAPS = ('before_trans', 'after_trans')
COAT = (
    BACKBONE,
    *RPN,
    Rule(r'roi_heads\.box_head\.', same_as='roi_heads.box_head_1st.'),
    Rule(r'roi_heads\.box_predictor\.', same_as='roi_heads.box_predictor_2nd.'),
    Rule(
        r'(roi_heads\.box_head_\w+\.transformer_encoder\.blocks\.\w+\.0\.)transformer\.0\.',
        same_as=r'\1transblock.',
    ),
    *_occluded_attention(0, 'box_head_1st'),
    *_occluded_attention(1, 'box_head_2nd'),
    *_occluded_attention(2, 'box_head_3rd'),
    *first_stage('box_predictor_1st'),
    *norm_aware_box(1, 'box_predictor_2nd'),
    *norm_aware_box(2, 'box_predictor_3rd'),
    *embedding(1, _COAT_MAPS, 'embedding_head_2nd'),
    *embedding(2, _COAT_MAPS, 'embedding_head_3rd'),
    *tables(1, 'reid_loss_2nd'),
    *tables(2, 'reid_loss_3rd'),
)


def _seqnext(stem: str, region: Iterable[tuple[str, str]]) -> tuple[Rule, ...]:
    """Of SeqNeXt, with and without the gallery filter network.

    ``region`` says how keys of a region network go on there and here.
    """
    stages = 'roi_head.stages.'
    return (
        Rule(r'backbone\.body\.', stem),
        *RPN,
        # Parts that several modules share are saved once for each.
        Rule(r'roi_heads\.gfn\.', same_as='gfn.'),
        Rule(r'gfn\.query_reid_head\.', same_as='roi_heads.reid_head.'),
        Rule(r'gfn\.query_emb_head\.', same_as='roi_heads.embedding_head.'),
        Rule(r'gfn\.reid_loss\.', same_as='roi_heads.reid_loss.'),
        Rule(r'roi_heads\.box_head\.', same_as='roi_heads.reid_head.'),
        *renamed(r'roi_heads\.prop_head\.head\.', f'{stages}0.shared_head.network.', region),
        *first_stage(),
        *renamed(r'roi_heads\.reid_head\.head\.', f'{stages}1.shared_head.network.', region),
        Rule(r'roi_heads\.score_predictor\.cls_score\.', f'{stages}1.bbox_head.fc_cls.'),
        Rule(r'roi_heads\.score_predictor\.bbox_pred\.', f'{stages}1.bbox_head.fc_reg.'),
        *embedding(1)[:-1],
        *tables(1),
        *renamed(r'gfn\.head\.image_reid_head\.head\.', 'scene_head.shared_head.network.', region),
        *(
            rule
            for i, name in enumerate(MAPS)
            for rule in linear_norm(
                rf'gfn\.head\.image_emb_head\.projectors\.{name}', f'scene_head.projections.{i}'
            )
        ),
        Rule(r'gfn\.fuser\.norm\.norm\.', 'scene_head.norm.'),
    )


SEQNEXT = {
    'convnext-b': _seqnext(
        'backbone.features.', ((r'0\.', 'features.6.'), (r'1\.', 'features.7.'))
    ),
    'r50': _seqnext('backbone.', ((r'(\d\.)', r'layer4.\1'),)),
}
SEQNEXT_MARKS = {'convnext-b': r'backbone\.body\.0\.', 'r50': r'backbone\.body\.layer1\.'}


def _relation_mixer(stage: int, published: str) -> tuple[Rule, ...]:
    there, mixers = rf'roi_heads\.{published}\.', r'mlP_model\.mixers\.'
    pairs = (
        (r'qconv1\.', 'reduce.'),
        (r'qconv2\.', 'expand.'),
        (r'layer4\.0\.', 'network.layer4.'),
        (mixers + r'token_mixer\.norm\.', 'cell_norm.'),
        (mixers + r'token_mixer\.mlp\.fc1\.', 'cell_mlp.0.'),
        (mixers + r'token_mixer\.mlp\.fc2\.', 'cell_mlp.3.'),
        (mixers + r'token_mixer\.spatial_att\.spatial\.conv\.', 'cell_gate.conv.'),
        (mixers + r'token_mixer\.spatial_att\.spatial\.bn\.', 'cell_gate.norm.'),
        (mixers + r'channel_mixer\.norm\.', 'channel_norm.'),
        (mixers + r'channel_mixer\.mlp\.fc1\.', 'channel_mlp.0.'),
        (mixers + r'channel_mixer\.mlp\.fc2\.', 'channel_mlp.3.'),
        (mixers + r'channel_mixer\.channel_att\.mlp\.1\.', 'channel_gate.mlp.0.'),
        (mixers + r'channel_mixer\.channel_att\.mlp\.3\.', 'channel_gate.mlp.2.'),
    )
    return renamed(there, f'roi_head.stages.{stage}.shared_head.network.', pairs)


PSARM = (
    Rule(r'backbone\.feature1\.0\.', 'backbone.conv1.'),
    Rule(r'backbone\.feature1\.1\.', 'backbone.bn1.'),
    Rule(r'backbone\.(layer[123])\.0\.', r'backbone.\1.'),
    *sequential(_relation_mixer),
)

_CONTEXT = r'cxt_feat_extractor_scenario\.'
GLCNET = (
    Rule(r'backbone\.bb\.', 'backbone.'),
    Rule(r'roi_heads\.' + _CONTEXT, same_as='cxt_feat_extractor_scenario.'),
    *(
        rule
        for i in range(3)
        for rule in renamed(
            _CONTEXT,
            'neck.layers.',
            ((rf'{3 * i}\.', f'conv{i + 1}.'), (rf'{3 * i + 1}\.', f'norm{i + 1}.')),
        )
    ),
    *sequential(maps=(*MAPS, 'cxt_scenario')),
)

_SWIN_REGION = (
    (r'stages\.2\.downsample\.', 'merge.merging.'),
    (r'semantic_embed_w\.2\.', 'merge.scale.'),
    (r'semantic_embed_b\.2\.', 'merge.shift.'),
    (r'stages\.3\.', 'stage.'),
    (r'norm3\.', 'norm.'),
)
_SWIN_STEM = (
    (r'stages\.([01])\.downsample\.', r'stages.\1.downsample.merging.'),
    (r'semantic_embed_w\.([01])\.', r'stages.\1.downsample.scale.'),
    (r'semantic_embed_b\.([01])\.', r'stages.\1.downsample.shift.'),
    (r'(patch_embed|stages|norm2)\.', r'\1.'),
)


def _swin_region(stage: int, published: str) -> tuple[Rule, ...]:
    """Each stage saves a whole network; that of the first is the stem's."""
    here = f'roi_head.stages.{stage}.shared_head.network.'
    if stage == 0:
        return (Rule(rf'roi_heads\.{published}\.swin\.', same_as='backbone.swin.'),)
    there = rf'roi_heads\.{published}\.swin\.'
    return *renamed(there, here, _SWIN_REGION), Rule(there)


SOLIDER = (
    *renamed(r'backbone\.swin\.', 'roi_head.stages.0.shared_head.network.', _SWIN_REGION),
    *renamed(r'backbone\.swin\.', 'backbone.', _SWIN_STEM),
    # Norms of maps that nobody takes, and what comes behind the last stage.
    Rule(r'backbone\.swin\.'),
    *sequential(_swin_region),
)

FAMILIES = (
    Family(
        'oim',
        'r50-2017',
        (r'backbone\.SpatialConvolution_0\.',),
        OIM_2017,
        lut_key='labeled_matching_layer.lookup_table',
    ),
    Family(
        'coat',
        'r50',
        (r'roi_heads\.box_head_3rd\.',),
        COAT,
        lut_key='roi_heads.reid_loss_2nd.lut',
    ),
    *(
        Family(
            method,
            backbone,
            (SEQNEXT_MARKS[backbone], *marks),
            SEQNEXT[backbone],
            identities={'prw': 483, 'cuhk-sysu': 5532},
        )
        for method, marks in (('gfn', (r'gfn\.fuser\.',)), ('seqnext', ()))
        for backbone in SEQNEXT
    ),
    Family('psarm', 'r50', (r'backbone\.feature1\.',), PSARM),
    Family('glcnet', 'r50', (r'backbone\.bb\.', _CONTEXT), GLCNET),
    Family('solider', 'swin-t', (r'backbone\.swin\.',), SOLIDER),
    Family(
        'oimnetpp',
        'r50',
        (r'roi_heads\.box_predictor\.bbox_cls\.',),
        (
            BACKBONE,
            *RPN,
            region(0, 'reid_head'),
            # Made, saved and never called.
            Rule(r'roi_heads\.(box_head|faster_rcnn_predictor)\.'),
            Rule(
                r'roi_heads\.box_predictor\.bbox_cls\.',
                'roi_head.stages.0.bbox_head.fc_cls.',
                person_first,
            ),
            Rule(
                r'roi_heads\.box_predictor\.bbox_pred\.',
                'roi_head.stages.0.bbox_head.fc_reg.',
                person_rows,
            ),
            *embedding(0, ('feat_res5',))[:-1],
            *tables(0),
        ),
    ),
    Family(
        'seqnet',
        'r50',
        (r'roi_heads\.faster_rcnn_predictor\.', r'roi_heads\.reid_head\.layer4\.'),
        (BACKBONE, *sequential()),
    ),
    Family('naeplus', 'r50', NAE_MARKS, NAE, axes={PROJECTION: 4}, per_cell=True),
    Family('nae', 'r50', NAE_MARKS, NAE, axes={PROJECTION: 2}, per_cell=False),
)
"""What is known, the more particular before the more general."""


def recognise(weights: Mapping[str, Tensor]) -> Family | None:
    """The family of published weights; None: they are nobody's that mmps knows."""
    return next((family for family in FAMILIES if family.fits(weights)), None)
