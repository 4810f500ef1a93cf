"""Configs of a detector and a re-ID network one behind the other, and the published ones."""

import pytest
import torch
from helpers.slim_person_search import a_step
from mmengine.config import Config

from mmps.published import find_model
from mmps.published.models import published_config
from mmps.registry import MODELS
from mmps.testing.tiny_models import CONFIGS

PATHS = sorted((CONFIGS / 'two_step').glob('*.py'))


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_builds_trains_a_step_and_predicts(path):
    cfg = Config.fromfile(path)
    for resize, pad in [cfg.model.detector_pipeline]:
        resize.scale = pad.size = (128, 128)
    cfg.model.reid.backbone.init_cfg = None
    cfg.model.update(crop_size=(64, 32), score_thr=0.0, max_people=3)
    _, samples, moved = a_step(cfg)
    assert any(n.startswith('detector.') for n in moved)
    assert any(n.startswith('reid.head') for n in moved)
    assert samples[0].pred_instances.embeddings.shape == (3, 256)
    assert samples[0].query_instances.embeddings.shape == (1, 256)
    steps = cfg.train_dataloader.dataset.pipeline + cfg.test_dataloader.dataset.pipeline
    assert 'Resize' not in [step.type for step in steps]


def test_the_published_detector_is_that_of_the_config():
    """A published model has no config beside it, so its settings stand in the catalogue as well."""
    published = Config(find_model('rtmdet-tiny-reid-r50').model).detector
    ours = Config.fromfile(CONFIGS / 'two_step/two-step_rtmdet-tiny_resnet50_prw.py').model.detector
    # Theirs knows the classes of COCO; mmdet's default is 1.
    assert published.bbox_head.pop('num_classes') == 80 and ours.bbox_head.pop('num_classes') == 1
    assert published.bbox_head.pop('pred_kernel_size') == 1
    assert published == ours


def test_openmmlabs_files_fit_their_published_entry(tmp_path):
    """Weights of mmdet's classes under their published names, with what only training needs."""
    entry = find_model('rtmdet-tiny-reid-r50').model
    random = MODELS.build({**entry, 'detector_checkpoint': None, 'reid_checkpoint': None})
    states = {part: getattr(random, part).state_dict() for part in ('detector', 'reid')}
    assert states['detector']['bbox_head.rtm_cls.0.weight'].shape[0] == 80
    assert states['reid']['head.fcs.0.bn.weight'].shape == (1024,)
    states['reid']['head.classifier.weight'] = torch.zeros(380, 128)
    for part, state in states.items():
        torch.save(dict(state_dict=state, meta={}), tmp_path / f'{part}.pth')
    paths = {f'{part}_checkpoint': str(tmp_path / f'{part}.pth') for part in states}
    model = MODELS.build({**entry, **paths})
    torch.testing.assert_close(model.state_dict(), random.state_dict())
    assert model.embed_dim == 128


@pytest.mark.parametrize('data', ['ps_resnet50_prw.py', 'custom/ps_densenet121_att_own_data.py'])
def test_a_published_model_takes_test_set_and_metric_of_any_config(data, monkeypatch):
    model = find_model('omz-0013-0286')
    monkeypatch.setattr(type(model), 'resolved', lambda self: dict(self.model))
    theirs = Config.fromfile(CONFIGS / data)
    config = published_config(model, CONFIGS / data)
    assert config.model.type == 'TwoStepPersonSearch' and 'train_dataloader' not in config
    assert config.test_evaluator == theirs.test_evaluator
    ours, wanted = config.test_dataloader.dataset, theirs.test_dataloader.dataset
    assert (ours.type, ours.data_root) == (wanted.type, wanted.data_root)
    kinds = [step.type for step in ours.pipeline]
    assert kinds == ['LoadSceneImage', 'LoadAnnotations', 'PackPersonSearchInputs']
