import re

from mmengine.logging import print_log
from torch import Tensor, nn

from mmps.utils.checkpoint import load_state_dict

# What the published classification networks have beyond stem and identification network.
_CLASSIFIER = ('classifier.', 'fc.', 'aux1.', 'aux2.')
_REID = ('roi_head.reid_network.', 'roi_head.reid_head.')
# The published DenseNet files write "norm.1" where the parameter is called "norm1".
_OLD_SPELLING = re.compile(r'(denselayer\d+\.(?:norm|relu|conv))\.([12])\.')


def load_imagenet_weights(
    stem: nn.Module, identification: nn.Module | None, checkpoint: str
) -> None:
    """Load a classification network published by torchvision into stem and identification network.

    The two together must take every weight of the file but the classifier's, and get every one of
    theirs: a partial load trains without a word and ends worse.

    Args:
        stem: The network up to the region features.
        identification: The network behind them; None: it is of another kind, and the stem alone
            takes its weights.
        checkpoint: Path or address of the file.

    Raises:
        OSError: If the file can be neither found nor fetched.
        CheckpointError: If it is damaged or would have to run code to be read.
        ValueError: If keys or shapes do not match one to one; the message lists them.
    """
    weights = _read(checkpoint)
    modules = {'stem': stem, 'identification network': identification}
    if identification is None:
        modules.popitem()
        weights = {key: value for key, value in weights.items() if key in stem.state_dict()}
    wanted = {name: module.state_dict() for name, module in modules.items()}
    shapes = {key: value.shape for part in wanted.values() for key, value in part.items()}
    problems = {
        # Files older than torch 0.4 lack the counters of batch norm.
        'missing from the file': {
            key for key in shapes.keys() - weights.keys() if not key.endswith('num_batches_tracked')
        },
        'not in the model': weights.keys() - shapes.keys(),
        'of another shape': {k for k in weights.keys() & shapes if weights[k].shape != shapes[k]},
    }
    if any(problems.values()):
        found = '; '.join(
            f'{len(keys)} {what}: {", ".join(sorted(keys)[:3])}'
            for what, keys in problems.items()
            if keys
        )
        raise ValueError(
            f'{checkpoint}: these ImageNet weights are not of {type(stem).__name__} and '
            f'{type(identification).__name__} ({found}). Set model.pretrained to the file of that '
            'network, or to None.'
        )
    for name, module in modules.items():
        part = {key: weights[key] for key in wanted[name] if key in weights}
        module.load_state_dict(part, strict=False)
        print_log(f'{name}: {len(part)} tensors from {checkpoint}', logger='current')


def load_detector(model: nn.Module, checkpoint: str) -> None:
    """Load what detects in a trained ``PersonSearch``; what serves re-ID alone is left as it is.

    Args:
        model: A ``PersonSearch``.
        checkpoint: Path of a checkpoint of one whose detection is built alike; its re-ID may be of
            another kind and know other people.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It is damaged or would have to run code to be read.
        ValueError: If the parts that detect do not match one to one; the message names some.
    """
    weights, wanted = (
        {key: value for key, value in state.items() if not key.startswith(_REID)}
        for state in (load_state_dict(checkpoint), model.state_dict())
    )
    wrong = weights.keys() ^ wanted.keys()
    wrong |= {k for k in weights.keys() & wanted if weights[k].shape != wanted[k].shape}
    if wrong:
        raise ValueError(
            f'{checkpoint}: the network that it is of detects otherwise than this one: '
            f'{", ".join(sorted(wrong)[:3])} ({len(wrong)} tensors) are missing there, missing '
            'here or of another shape. Set model.detector_from to a checkpoint of the same stem, '
            'neck, rpn_head and detection.'
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
