"""Export a model: ``python tools/deployment/export_onnx.py CONFIG CHECKPOINT --out MODEL.onnx``.

One file with the whole network, for any number and size of images, compared with PyTorch before it
gets its name. Of a detector and a re-ID network one behind the other a file each, and MODEL.yml,
which names both and stands where the name of a published model stands.
"""

import sys
from pathlib import Path

from mmps.cli.common import config_parser, run_tool
from mmps.utils.config import load_config, require_entries
from mmps.utils.errors import UserError


def parse_arguments(argv: list[str] | None):
    parser = config_parser('Export a trained model to ONNX, and compare the two.')
    parser.add_argument('checkpoint', help='weights of the model')
    parser.add_argument('--out', type=Path, required=True, metavar='F.onnx', help='file to write')
    parser.add_argument(
        '--images',
        nargs='+',
        metavar='PATH',
        help='files or folders of scenes to compare with (default: of the test set of the config)',
    )
    parser.add_argument(
        '--num-images', type=int, default=6, help='how many of them are taken (default: 6)'
    )
    parser.add_argument(
        '--int8', type=Path, metavar='F.onnx', help='also write an int8 form of it to this file'
    )
    parser.add_argument(
        '--num-calibration',
        type=int,
        default=32,
        help='images from which --int8 takes the range of values (default: 32)',
    )
    return parser.parse_args(argv)


def find_images(config, arguments, count: int) -> list:
    """Scenes, spread over what there is."""
    from mmps.formats.from_config import test_annotations, test_image_root
    from mmps.sources import as_image, find_files
    from mmps.utils.image_folder import ImageFolder

    if arguments.images:

        def refuse(problem):
            raise UserError(f'--images: {problem}')

        paths = find_files(arguments.images, refuse)
    else:
        try:
            names = test_annotations(config).image_names
            folder = ImageFolder(test_image_root(config))
            paths = [folder.path(name) for name in names]
        except FileNotFoundError as error:
            raise UserError(
                f'no images to compare with: {error}; give some scenes with people, --images'
            ) from error
    if not paths:
        raise UserError('--images: no image was found there')
    count = min(count, len(paths))
    return [as_image(paths[i * len(paths) // count]) for i in range(count)]


def export_two_step(config, arguments, model, preprocessing, images) -> None:
    """Write both networks, and keep them if they find and embed what PyTorch does."""
    from mmps.apis.preprocessing import model_tag
    from mmps.deployment.export_two_step import write_two_step
    from mmps.deployment.parity import compare
    from mmps.published import find_model
    from mmps.registry import MODELS

    if arguments.int8:
        raise UserError('--int8: not of two networks; OpenVINO and ONNX Runtime quantise each file')
    tag = model_tag(config, model, arguments.checkpoint)
    out = arguments.out.with_suffix('.yml')
    files = write_two_step(model, out, tag.name, tag.fingerprint)
    try:
        exported = MODELS.build(find_model(out).resolved())
        parity = compare(model, exported, preprocessing, images)
        parity.require()
    except BaseException:
        for file in files:
            file.unlink()
        raise
    for file in files:
        print(f'{file}: {file.stat().st_size / 1e6:.1f} MB')
    print(parity)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    for name in ('num_images', 'num_calibration'):
        if getattr(arguments, name) < 1:
            raise UserError(f'--{name.replace("_", "-")} must be at least 1')
    config = load_config(arguments.config, arguments.cfg_options)
    require_entries(config, arguments.config, ('model', 'test_dataloader'))

    from mmengine.registry import init_default_scope

    from mmps.apis.network import Preprocessing, build_model
    from mmps.apis.preprocessing import model_file
    from mmps.deployment.export import write_onnx
    from mmps.deployment.exported_model import ExportedPersonSearch
    from mmps.deployment.parity import compare
    from mmps.models.detectors import TwoStepPersonSearch
    from mmps.utils.files import whole_file

    init_default_scope(config.get('default_scope', 'mmps'))
    model = build_model(config, arguments.checkpoint)
    preprocessing = Preprocessing(config)
    images = find_images(config, arguments, arguments.num_images)
    if isinstance(model, TwoStepPersonSearch):
        export_two_step(config, arguments, model, preprocessing, images)
        return
    print('exporting, and comparing with PyTorch ...', file=sys.stderr)
    with whole_file(arguments.out) as temporary:
        write_onnx(model, temporary, model_file(config, model, arguments.checkpoint))
        parity = compare(model, ExportedPersonSearch(temporary), preprocessing, images)
        parity.require()
    print(f'{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB; {parity}')
    if arguments.int8:
        from mmps.deployment.export import write_int8

        calibration = find_images(config, arguments, arguments.num_calibration)
        with whole_file(arguments.int8) as temporary:
            write_int8(arguments.out, temporary, preprocessing, calibration)
            parity = compare(model, ExportedPersonSearch(temporary), preprocessing, images)
        print(f'{arguments.int8}: {arguments.int8.stat().st_size / 1e6:.1f} MB; {parity}')
        print(
            'int8 changes single people that much; what it changes on the whole, tools/test.py says'
        )


if __name__ == '__main__':
    run_tool(main)
