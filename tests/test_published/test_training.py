"""Every published method, narrow, trains an epoch as its config says, with its evaluation."""

import math

import pytest
import torch
from helpers.prw_files import write_tiny_prw
from helpers.published_names import METHODS, model_name
from helpers.published_weights import narrow_config
from mmengine.hooks import Hook
from mmengine.runner import Runner


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_prw(tmp_path_factory.mktemp('prw'), train_frames=4, test_frames=2)


class Watch(Hook):
    """Keeps the losses of all steps, those of detection before and after the epoch, and the
    metrics.
    """

    def __init__(self):
        self.losses, self.detection = [], []

    def before_train_epoch(self, runner):
        self.detection.append(detection_loss(runner))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({name: value.item() for name, value in outputs.items()})

    after_train_epoch = before_train_epoch

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics


def detection_loss(runner):
    """Of the training pictures, of the same regions each time; nothing is learned."""
    state = {name: value.clone() for name, value in runner.model.state_dict().items()}
    total = 0.0
    for batch in runner.train_dataloader:
        torch.manual_seed(0)
        with torch.no_grad():
            losses = runner.model(**runner.model.data_preprocessor(batch, True), mode='loss')
        terms = runner.model.parse_losses(losses)[1].items()
        total += sum(value.item() for name, value in terms if 'cls' in name or 'bbox' in name)
    runner.model.load_state_dict(state)
    return total


@pytest.mark.parametrize('method', METHODS)
def test_an_epoch(method, root, tmp_path):
    config = narrow_config(model_name(method), root)
    config.work_dir, config.log_level = str(tmp_path), 'ERROR'
    config.train_cfg.update(max_epochs=1, val_interval=1)
    config.train_dataloader.batch_size = 2
    config.model.roi_head.reid_head.num_ids = 5
    config.visualizer.vis_backends = []
    if method == 'oim':  # whose norms are fixed, without the weights that they are made for
        config.optim_wrapper.optimizer.lr *= 0.01
    config.default_hooks.checkpoint = None
    del config.default_hooks['run_record']
    runner, watch = Runner.from_cfg(config), Watch()
    runner.register_hook(watch)
    runner.train()
    assert len(watch.losses) == 2
    assert all(math.isfinite(value) for step in watch.losses for value in step.values())
    before, after = watch.detection
    assert after < before
    assert 0 <= watch.metrics['search/mAP'] <= 1 and 0 <= watch.metrics['det/AP'] <= 1
