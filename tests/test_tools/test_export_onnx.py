import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.exports import decided, pictures
from mmengine.config import Config

from mmps.apis.network import build_model
from mmps.apis.preprocessing import model_file
from mmps.deployment.export import write_onnx
from mmps.evaluation.functional import load_predictions
from mmps.registry import MODELS
from mmps.utils.errors import UserError
from mmps.visualization import write_image


@pytest.fixture(scope='module')
def checkpoint(config_file):
    from mmengine.registry import init_default_scope

    init_default_scope('mmps')
    model = decided(MODELS.build(Config.fromfile(config_file).model))
    path = config_file.parent / 'decided.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def test_an_exported_model_predicts_what_its_checkpoint_does(
    config_file, checkpoint, load_tool, tmp_path, capsys
):
    exported, small = tmp_path / 'model.onnx', tmp_path / 'int8.onnx'
    load_tool('deployment/export_onnx.py').main(
        [str(config_file), str(checkpoint), '--out', str(exported), '--int8', str(small)]
    )
    assert ' 0 unmatched' in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {'model.onnx', 'int8.onnx'}
    predictions = []
    for weights in (checkpoint, exported):
        out = tmp_path / f'{weights.suffix}.npz'
        load_tool('test.py').main(
            [str(config_file), str(weights), '--out', str(out), '--work-dir', str(tmp_path / 'w')]
        )
        predictions.append(load_predictions(str(out)))
    one, other = predictions
    assert len(one.bboxes) > 2
    np.testing.assert_allclose(other.bboxes, one.bboxes, atol=0.01)
    np.testing.assert_allclose(other.query_embeddings, one.query_embeddings, atol=1e-4)


def test_an_exported_model_searches_in_a_process_of_its_own(config_file, checkpoint, tmp_path):
    """Nothing else has set mmengine's default scope there."""
    exported, gallery = tmp_path / 'model.onnx', tmp_path / 'people.lance'
    config = Config.fromfile(config_file)
    model = build_model(config, checkpoint)
    write_onnx(model, exported, model_file(config, model, checkpoint))
    scene = tmp_path / 'scene.jpg'
    write_image(scene, pictures((200, 150))[0])
    tools = Path(__file__).parents[2] / 'tools'
    shared = [str(word) for word in (config_file, exported, scene, '--gallery', gallery)]
    runs = [
        ('index_gallery.py', [*shared, '--score-thr', '0']),
        (
            'search_person.py',
            [*shared, '--score-thr', '0', '--box', '10,10,60,120', '--backend', 'openvino'],
        ),
    ]
    program = 'import runpy, sys\n' + '\n'.join(
        f'sys.argv[1:] = {words}; runpy.run_path({str(tools / tool)!r}, run_name="__main__")'
        for tool, words in runs
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '\n1 ' in done.stdout


def test_what_cannot_be_compared_leaves_no_file(config_file, checkpoint, load_tool, tmp_path):
    tool = load_tool('deployment/export_onnx.py')
    arguments = [str(config_file), str(checkpoint), '--out', str(tmp_path / 'model.onnx')]
    with pytest.raises(UserError, match='nobody was found'):
        tool.main([*arguments, '--cfg-options', 'model.test_cfg.rcnn.score_thr=1.0'])
    with pytest.raises(UserError, match='--images'):
        tool.main([*arguments, '--cfg-options', f'test_dataloader.dataset.data_root={tmp_path}/x'])
    with pytest.raises(UserError, match='--images'):
        tool.main([*arguments, '--images', str(tmp_path / 'missing.jpg')])
    with pytest.raises(UserError, match='--num-images'):
        tool.main([*arguments, '--num-images', '0'])
    assert list(tmp_path.iterdir()) == []
