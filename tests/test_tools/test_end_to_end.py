"""The tools on a model of a few thousand parameters and a handful of images."""

import numpy as np
import pytest
import torch

from mmps.evaluation.functional import load_predictions
from mmps.utils.checkpoint import read_checkpoint
from mmps.utils.errors import UserError
from mmps.visualization import read_image

AUTOMATIC = ('--cfg-options', 'model.roi_head.reid_head.num_ids=auto')


@pytest.fixture(scope='module')
def trained(config_file, load_tool):
    """Work dir of a finished training."""
    work_dir = config_file.parent / 'trained'
    run(load_tool('train.py'), config_file, '--work-dir', work_dir, *AUTOMATIC)
    return work_dir


def run(tool, *arguments):
    tool.main([str(argument) for argument in arguments])


def test_training_leaves_a_checkpoint_with_a_row_for_each_identity(trained):
    checkpoint = read_checkpoint(trained / 'epoch_1.pth')
    assert checkpoint['state_dict']['roi_head.reid_head.criterion.lut'].shape == (5, 16)
    assert 'num_ids=5' in checkpoint['meta']['cfg']
    assert list(trained.glob('*/vis_data/scalars.json'))


def test_resume_goes_on_where_the_training_stopped(trained, config_file, load_tool):
    options = ('--resume', '--cfg-options', 'train_cfg.max_epochs=2')
    run(load_tool('train.py'), config_file, '--work-dir', trained, *options)
    checkpoint = read_checkpoint(trained / 'epoch_2.pth')
    assert checkpoint['meta']['epoch'] == 2
    assert checkpoint['meta']['iter'] == 4


def test_test_writes_predictions_and_rankings(trained, config_file, tmp_path, capsys, load_tool):
    out, pictures = tmp_path / 'p.npz', tmp_path / 'pictures'
    run(
        load_tool('test.py'),
        config_file,
        trained / 'epoch_1.pth',
        '--work-dir',
        tmp_path / 'work',
        '--out',
        out,
        '--show-dir',
        pictures,
        *AUTOMATIC,
        'test_evaluator.score_thr=0.0',
    )
    predictions = load_predictions(out)
    assert len(predictions.image_names) == 4
    assert len(predictions.query_embeddings) == len(predictions.query_bboxes) == 5
    assert set(predictions.query_names) <= set(predictions.image_names)
    np.testing.assert_allclose(np.linalg.norm(predictions.embeddings, axis=1), 1, rtol=1e-5)
    (sheet,) = pictures.iterdir()
    assert read_image(sheet).shape[1] > 1000
    assert f'rankings: {sheet}' in capsys.readouterr().out


def test_checkpoint_of_another_model(config_file, tmp_path, load_tool):
    torch.save({'state_dict': {'conv.weight': torch.zeros(3)}}, tmp_path / 'other.pth')
    with pytest.raises(UserError, match=r'other.pth is of another model.*1 unexpected \(conv'):
        run(load_tool('test.py'), config_file, tmp_path / 'other.pth', '--work-dir', tmp_path)


def test_another_number_of_identities_is_an_error_of_the_user(config_file, tmp_path, load_tool):
    options = ('--work-dir', tmp_path, '--cfg-options', 'model.roi_head.reid_head.num_ids=4')
    with pytest.raises(UserError, match='has 5 identities, but .* 4. Set .*num_ids=5'):
        run(load_tool('train.py'), config_file, *options)


@pytest.mark.parametrize('split', ['train', 'test'])
def test_browse_dataset_draws_every_image(config_file, tmp_path, split, load_tool):
    tool = load_tool('analysis_tools/browse_dataset.py')
    run(tool, config_file, '--output-dir', tmp_path / 'out', '--split', split)
    pictures = sorted((tmp_path / 'out').iterdir())
    assert len(pictures) == 4
    assert all(read_image(picture).shape == (120, 160, 3) for picture in pictures)


def test_browse_dataset_needs_the_split(tmp_path, load_tool):
    (tmp_path / 'no_data.py').write_text('model = dict()\n')
    tool = load_tool('analysis_tools/browse_dataset.py')
    with pytest.raises(UserError, match='no_data.py has no val_dataloader'):
        run(tool, tmp_path / 'no_data.py', '--split', 'val')
