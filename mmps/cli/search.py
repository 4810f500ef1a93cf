"""Arguments that the tools around :class:`PersonSearcher` share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps

from mmps.apis.network import BACKENDS
from mmps.apis.searcher import AMP, PersonSearcher, Whole
from mmps.cli.common import config_parser
from mmps.published import is_model_name, list_models
from mmps.retrieval import COLOURS, AsWritten, Gallery, Where, load_calibration
from mmps.sources import Provenance, absolute, parse_time
from mmps.utils.config import find_config, is_checkpoint, load_config
from mmps.utils.errors import UserError


class _ListModels(argparse.Action):
    """Prints the published models, and nothing else is done."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        print(list_models())
        parser.exit()


def model_parser(description: str, argv: Sequence[str] | None) -> argparse.ArgumentParser:
    """A parser that knows a config and a checkpoint, or the name of a published model instead.

    It looks at the words that will be parsed (None: of the command line), for behind a name there
    is no checkpoint.
    """
    parser = config_parser(
        description, 'config file; a checkpoint that holds its config; or a published model'
    )
    parser.add_argument(
        '--list-models',
        action=_ListModels,
        nargs=0,
        help='show the published models, which stand in place of config and checkpoint, and exit',
    )
    words = sys.argv[1:] if argv is None else argv
    first = next((word for word in words if _names_a_model(word)), '')
    if is_checkpoint(first):
        parser.set_defaults(checkpoint=first)
    elif is_model_name(first):
        parser.set_defaults(checkpoint=None)
    else:
        parser.add_argument('checkpoint', help='weights of the model, or the exported model')
    return parser


def _names_a_model(word: str) -> bool:
    """Whether a word of a command line can be a config, a checkpoint or a published model."""
    if word.startswith('-') or '=' in word:
        return False
    if word.endswith('.py') or is_checkpoint(word) or is_model_name(word):
        return True
    # A name without a suffix, for any other file may be what an option is given.
    return not os.path.splitext(word)[1] and find_config(word) is not None


def searcher_parser(description: str, argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """A parser that knows the model, as :func:`model_parser` does, and how to run it."""
    parser = model_parser(description, argv)
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda:0, ... (default: auto)')
    parser.add_argument(
        '--backend',
        choices=sorted(BACKENDS),
        help='default: onnxruntime for a file .onnx, else torch',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        help='least detection score (default: 0.5, or what a published model says)',
    )
    parser.add_argument(
        '--amp', choices=AMP, help='compute in bfloat16; auto: where CPU or GPU have it'
    )
    return parser


def build_searcher(arguments: argparse.Namespace, batch_size: int | None = None) -> PersonSearcher:
    """The searcher that the arguments ask for."""
    if is_model_name(arguments.config):
        config = arguments.config
        if arguments.cfg_options:
            raise UserError(
                f'--cfg-options: {config} has no config file whose settings could change'
            )
    else:
        config = load_config(arguments.config, arguments.cfg_options)
    searcher = PersonSearcher(
        config,
        arguments.checkpoint,
        arguments.device,
        backend=arguments.backend,
        batch_size=batch_size,
        score_thr=arguments.score_thr,
        amp=arguments.amp,
    )
    if arguments.amp == 'auto':
        print(f'--amp auto: {searcher.network.precision}')
    return searcher


def add_filter_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what restricts a search or a deletion."""
    parser.add_argument('--camera', nargs='+', metavar='NAME', help='only of these cameras')
    parser.add_argument('--source', nargs='+', metavar='FILE', help='only in these files')
    parser.add_argument('--since', type=a_time, metavar='TIME', help='only taken then or later')
    parser.add_argument('--until', type=a_time, metavar='TIME', help='only taken before')
    parser.add_argument(
        '--where', nargs='+', type=an_entry, metavar='KEY=VALUE', help='only with these metadata'
    )
    for name, place in (('upper', 'above'), ('lower', 'below')):
        parser.add_argument(
            f'--{name}',
            nargs='+',
            choices=COLOURS,
            metavar='COLOUR',
            help=f'only who wears one of these {place} the waist: {", ".join(COLOURS)}',
        )


def where_of(arguments: argparse.Namespace) -> Where:
    """The filter that the arguments ask for."""
    sources = arguments.source and [absolute(source) for source in arguments.source]
    return Where(
        cameras=arguments.camera,
        sources=sources,
        since=arguments.since,
        until=arguments.until,
        metadata={key: AsWritten(value) for key, value in arguments.where or ()} or None,
        upper=arguments.upper,
        lower=arguments.lower,
    )


def add_calibration_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--calibration``, for galleries that keep none beside them."""
    parser.add_argument(
        '--calibration',
        metavar='FILE.json',
        help='what calibrate.py --out wrote (default: what is kept beside the gallery, if any)',
    )


def use_calibration(gallery: Gallery, arguments: argparse.Namespace) -> None:
    """Let searches of a gallery go by the calibration that the arguments name, or by its own."""
    if arguments.calibration:
        model = gallery.model
        gallery.use_calibration(load_calibration(arguments.calibration, model), model)
    else:
        _ = gallery.calibration  # damage is told before a model is loaded


def _for_argparse(parse: Callable) -> Callable:
    """Hands on what is wrong with a word; of other errors argparse says its own."""

    @wraps(parse)
    def type_of_argument(text: str):
        try:
            return parse(text)
        except (ValueError, UserError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return type_of_argument


a_time = _for_argparse(parse_time)


@_for_argparse
def a_box(text: str) -> tuple[float, ...] | Whole:
    """``x1,y1,x2,y2``, or ``whole``."""
    if text == 'whole':
        return text
    box = tuple(float(value) for value in text.split(','))
    if len(box) != 4:
        raise ValueError(f'{text!r} is no box; write x1,y1,x2,y2 in pixels, or whole')
    return box


@_for_argparse
def a_number(text: str) -> int:
    """A positive number."""
    if not text.isdecimal() or not int(text):
        raise ValueError(f'{text!r} is no positive number')
    return int(text)


@_for_argparse
def a_pattern(text: str) -> str:
    """A name pattern, as :class:`~mmps.sources.Provenance` takes it."""
    Provenance(name_pattern=text)
    return text


@_for_argparse
def an_entry(text: str) -> tuple[str, str]:
    """``KEY=VALUE``, whose value stays the text that it is."""
    key, separator, value = text.partition('=')
    if not separator or not key:
        raise ValueError(f'{text!r} is not KEY=VALUE')
    return key, value
