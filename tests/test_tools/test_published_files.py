"""The tools with a file that a method's authors published, where a checkpoint stands."""

import numpy as np
import pytest
import torch
from helpers.prw_files import write_tiny_prw
from helpers.published_weights import narrow_file, slim_config
from mmengine.registry import init_default_scope

from mmps.evaluation.functional import load_predictions
from mmps.published.conversion import convert, recognise
from mmps.registry import MODELS


@pytest.fixture(scope='module')
def seqnet(tmp_path_factory):
    """Config, their file, the same as a checkpoint of ours, and the folder of a data set."""
    init_default_scope('mmps')
    folder = tmp_path_factory.mktemp('seqnet')
    config = slim_config('seqnet')
    root = write_tiny_prw(folder / 'prw', test_frames=4)
    for loader in (config.test_dataloader, config.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(root)
    config.dump(folder / 'slim.py')
    weights = narrow_file('seqnet', MODELS.build(config.model))
    torch.save(dict(model=weights, epoch=17), folder / 'theirs.pth')
    ours = convert(weights, recognise(weights), 'theirs.pth')
    torch.save(dict(state_dict=ours), folder / 'ours.pth')
    return folder / 'slim.py', folder / 'theirs.pth', folder / 'ours.pth', root


def test_their_file_is_tested_as_the_converted_one(seqnet, load_tool, tmp_path):
    config, theirs, ours, _ = seqnet
    predictions = []
    for weights in (theirs, ours):
        out = tmp_path / f'{weights.stem}.npz'
        words = [config, weights, '--out', out, '--work-dir', tmp_path / 'work']
        load_tool('test.py').main([*map(str, words)])
        predictions.append(load_predictions(str(out)))
    one, other = predictions
    assert len(one.bboxes) > 4
    for key in ('bboxes', 'scores', 'embeddings', 'query_embeddings'):
        assert np.array_equal(getattr(one, key), getattr(other, key)), key
