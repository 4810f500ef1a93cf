import re
from collections.abc import Sequence

from mmengine.logging import print_log
from torch import Tensor, nn

from mmps.utils.checkpoint import CheckpointError, differences, load_state_dict

# What the published classification networks have beyond stem and identification network.
_CLASSIFIER = ('classifier.', 'fc.', 'aux1.', 'aux2.')
_REID = ('roi_head.reid_network.', 'roi_head.reid_head.')
# The published DenseNet files write "norm.1" where the parameter is called "norm1".
_OLD_SPELLING = re.compile(r'(denselayer\d+\.(?:norm|relu|conv))\.([12])\.')


def load_imagenet_weights(
    stem: nn.Module, identification: Sequence[nn.Module], checkpoint: str
) -> None:
    """Load a classification network published by torchvision into stem and identification networks.

    Stem and identification network must together take every weight of the file but the
    classifier's, and get every one of theirs: a partial load trains without a word and ends worse.

    Args:
        stem: The network up to the region features.
        identification: The networks behind them, which all take the same weights; none: they are
            of another kind, and the stem alone takes its weights.
        checkpoint: Path or address of the file.

    Raises:
        OSError: If the file can be neither found nor fetched.
        CheckpointError: If it is damaged, would have to run code to be read, or does not match one
            to one.
        ValueError: The identification networks are not built alike.
    """
    weights = _read(checkpoint)
    wanted = stem.state_dict()
    if identification:
        wanted |= identification[0].state_dict()
    else:
        weights = {key: value for key, value in weights.items() if key in wanted}
    # Files older than torch 0.4 lack the counters of batch norm.
    counters = {key for key in wanted.keys() - weights.keys() if key.endswith('_batches_tracked')}
    expected = {key: value for key, value in wanted.items() if key not in counters}
    if wrong := differences(expected, weights):
        names = ' and '.join(type(network).__name__ for network in (stem, *identification[:1]))
        raise CheckpointError(
            f'{checkpoint}: these ImageNet weights are not of {names}: {wrong}. Set '
            'model.pretrained to the file of that network, or to None.'
        )
    for network in (stem, *identification[:1]):
        network.load_state_dict(
            {k: weights[k] for k in network.state_dict() if k in weights}, False
        )
    for other in identification[1:]:
        first = identification[0].state_dict()
        if wrong := differences(other.state_dict(), first):
            raise ValueError(
                'roi_head.reid_network.network takes the pretrained weights of '
                f'roi_head.shared_head and has to be built like it: {wrong}'
            )
        other.load_state_dict(first)
    print_log(f'{len(weights)} tensors from {checkpoint}', logger='current')


def load_detector(model: nn.Module, checkpoint: str) -> None:
    """Load what detects in a trained ``PersonSearch``; what serves re-ID alone is left as it is.

    Args:
        model: A ``PersonSearch``.
        checkpoint: Path of a checkpoint of one whose detection is built alike; its re-ID may be of
            another kind and know other people.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It is damaged, would have to run code to be read, or the parts that detect
            do not match one to one.
    """
    weights, wanted = (
        {key: value for key, value in state.items() if not key.startswith(_REID)}
        for state in (load_state_dict(checkpoint), model.state_dict())
    )
    if wrong := differences(wanted, weights):
        raise CheckpointError(
            f'{checkpoint}: the network that it is of detects otherwise than this one: {wrong}. '
            'Set model.detector_from to a checkpoint of the same stem, neck, proposals and heads.'
        )
    model.load_state_dict(weights, strict=False)
    print_log(f'detection: {len(weights)} tensors from {checkpoint}', logger='current')


def _read(checkpoint: str) -> dict[str, Tensor]:
    try:
        state = load_state_dict(checkpoint)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f'{checkpoint}: the ImageNet weights cannot be read ({error}). Without internet access '
            'give their path with --cfg-options model.pretrained=FILE, or train from random '
            'weights with model.pretrained=None.'
        ) from error
    renamed = {_OLD_SPELLING.sub(r'\1\2.', key): value for key, value in state.items()}
    return {key: value for key, value in renamed.items() if not key.startswith(_CLASSIFIER)}
