import numpy as np
import pytest
from helpers.prw_files import write_tiny_prw
from mmengine.config import Config

from mmps.formats import from_config
from mmps.utils.config import load_config
from mmps.utils.errors import UserError


def test_search_evaluator_is_found_among_others():
    config = Config(dict(test_evaluator=dict(type='PersonSearchMetric')))
    from_config.search_evaluator(config, 'x.py').out = 'a.npz'
    assert config.test_evaluator.out == 'a.npz'
    config = Config(dict(test_evaluator=[dict(type='CocoMetric'), dict(type='PersonSearchMetric')]))
    from_config.search_evaluator(config, 'x.py').out = 'b.npz'
    assert config.test_evaluator[1].out == 'b.npz'
    assert 'out' not in config.test_evaluator[0]


def test_config_without_a_search_evaluator():
    config = Config(dict(test_evaluator=dict(type='CocoMetric')))
    with pytest.raises(UserError, match='test_evaluator of x.py has no PersonSearchMetric'):
        from_config.search_evaluator(config, 'x.py')


def test_images_of_the_test_set(tmp_path):
    dataset = dict(type='PRWDataset', data_root=str(tmp_path), test_mode=True)
    config = Config(dict(test_dataloader=dict(dataset=dataset)))
    assert from_config.test_image_root(config) == tmp_path / 'frames'
    config.test_dataloader.dataset.data_prefix = dict(img='small')
    assert from_config.test_image_root(config) == tmp_path / 'small'


def automatic(dataset):
    """The config of two networks that learn identities, of which the number of one is open."""
    parts = [dict(head=dict(num_ids='auto')), dict(num_ids=7)]
    return Config(dict(model=dict(parts=parts), train_dataloader=dict(dataset=dataset)))


def test_the_number_of_identities_is_that_of_the_training_set(tmp_path):
    root = write_tiny_prw(tmp_path / 'prw', num_ids=6)
    config = automatic(dict(type='PRWDataset', data_root=str(root)))
    from_config.set_num_ids(config)
    assert config.model.parts == [dict(head=dict(num_ids=6)), dict(num_ids=7)]
    (root / 'frame_train.mat').write_bytes(b'no matrix')
    with pytest.raises(UserError, match='frame_train.mat'):
        from_config.set_num_ids(automatic(dict(type='PRWDataset', data_root=str(root))))


def test_anchors_are_those_that_mmdet_lays():
    from mmdet.models.task_modules.prior_generators import AnchorGenerator

    config = load_config('ps_densenet_slim_att_own_data', {})
    anchors = from_config.anchors_of(config)
    generator = dict(config.model.rpn_head.anchor_generator)
    generator.pop('type')
    (base,) = AnchorGenerator(**generator).base_anchors
    np.testing.assert_allclose(
        sorted(anchors.sizes.prod(1)), sorted((base[:, 2:] - base[:, :2]).prod(1)), rtol=1e-5
    )
    np.testing.assert_allclose(
        sorted(anchors.sizes[:, 1]), sorted(base[:, 3] - base[:, 1]), rtol=1e-5
    )
    assert (anchors.scale, anchors.overlap) == ((480, 270), 0.3)
    assert from_config.anchors_of(Config(dict(model=dict(type='Other')))) is None


def test_a_training_set_from_which_nothing_can_be_learnt(tmp_path):
    """The only anchor is 181 x 362 pixels large, in images of 160 x 120."""
    root = write_tiny_prw(tmp_path / 'prw')
    dataset = dict(type='PRWDataset', data_root=str(root))
    config = Config(dict(model={}, train_dataloader=dict(dataset=dataset)))
    from_config.check_training_set(config)
    config.test_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=(160, 120))]))
    generator = dict(scales=[16], ratios=[2.0], strides=[16])
    config.model = dict(rpn_head=dict(anchor_generator=generator))
    with pytest.raises(UserError, match='nothing can be learnt .* most people do not fit the anch'):
        from_config.check_training_set(config)


def test_a_training_set_that_does_not_know_its_identities():
    config = automatic(dict(type='ConcatDataset', datasets=[]))
    with pytest.raises(UserError, match='ConcatDataset does not know its id'):
        from_config.set_num_ids(config)


def test_images_of_a_data_set_of_the_users_own(tmp_path):
    from mmps.datasets import PRWDataset
    from mmps.registry import DATASETS

    class MyScenes(PRWDataset):
        pass

    root = write_tiny_prw(tmp_path / 'prw')
    dataset = dict(type='MyScenes', data_root=str(root), test_mode=True)
    config = Config(dict(test_dataloader=dict(dataset=dataset)))
    DATASETS.register_module(module=MyScenes)
    try:
        assert from_config.test_image_root(config) == root / 'frames'
        assert from_config.test_annotations(config).num_images == 4
    finally:
        DATASETS.module_dict.pop('MyScenes')
