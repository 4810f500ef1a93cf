import logging
import math
from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import get_priority
from mmengine.structures import InstanceData
from torch import multiprocessing, nn

from mmps.engine import (
    DivergenceHook,
    MissingMetricHook,
    NumIdentitiesCheckHook,
    TrainingDivergedError,
)
from mmps.utils.errors import UserError


def make_runner(work_dir, **changes):
    model = nn.Linear(2, 2)
    return SimpleNamespace(
        message_hub=MessageHub('divergence'),
        model=model,
        optim_wrapper=OptimWrapper(
            torch.optim.SGD(model.parameters(), lr=0.1), clip_grad=dict(max_norm=1)
        ),
        hooks=[],
        work_dir=str(work_dir),
        iter=41,
        epoch=2,
        max_iters=100,
        logger=logging.getLogger('divergence'),
        **changes,
    )


def batch(*names):
    samples = [DetDataSample(metainfo=dict(img_path=f'frames/{name}')) for name in names]
    return dict(data_samples=samples)


def step(hook, runner, loss, *names, **terms):
    """What mmengine does after a step: the hook of the log first, then this one."""
    outputs = dict(loss=torch.tensor(loss), **{k: torch.tensor(v) for k, v in terms.items()})
    for key, value in outputs.items():
        runner.message_hub.update_scalar(f'train/{key}', value)
    hook.after_train_iter(runner, 0, batch(*names), outputs)


def test_a_loss_that_is_not_finite_stops_with_its_images(tmp_path):
    hook, runner = DivergenceHook(), make_runner(tmp_path)
    step(hook, runner, 2.0, 'a.jpg', loss_reid=1.0)
    torch.save({}, tmp_path / 'epoch_2.pth')
    with pytest.raises(TrainingDivergedError) as error:
        step(hook, runner, math.nan, 'b.jpg', 'c.jpg', loss_reid=math.nan, loss_cls=0.5)
    message = str(error.value)
    assert 'stopped at iteration 42, epoch 3' in message
    assert 'loss, loss_reid not finite' in message
    assert 'loss_cls 0.5' in message
    assert 'images of this step: frames/b.jpg, frames/c.jpg' in message
    assert 'images of the step before: frames/a.jpg' in message
    assert 'epoch_2.pth: go on from it with --resume' in message


def with_boxes(name, *boxes, shape=(60, 100)):
    sample = DetDataSample(metainfo=dict(img_path=name, img_shape=shape))
    sample.gt_instances = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4))
    return sample


@pytest.mark.parametrize(
    ('boxes', 'named'),
    [
        ([[5.0, 5, 20, 50], [30, 5, 33, 50]], '[30, 5, 33, 50]'),
        ([[5.0, 5, 20, 50], [100, 5, 100, 50]], '[100, 5, 100, 50]'),
        ([[5.0, 5, 20, 50], [130, 5, 150, 50]], '[130, 5, 150, 50]'),
        ([[5.0, 5, 20, 50], [-30, 5, 0, 50], [5, 5, 20, math.nan]], '[5, 5, 20, nan]'),
        ([], '[1, 1, 9, 9]'),
    ],
)
def test_the_box_of_which_least_is_left_is_named(tmp_path, boxes, named):
    hook, runner = DivergenceHook(), make_runner(tmp_path)
    runner.message_hub.update_scalar('train/loss', math.inf)
    samples = [with_boxes('a.png', [1.0, 1, 9, 9]), with_boxes('b.png', *boxes)]
    with pytest.raises(TrainingDivergedError) as error:
        hook.after_train_iter(
            runner, 0, dict(data_samples=samples), dict(loss=torch.tensor(math.inf))
        )
    (line,) = (line for line in str(error.value).splitlines() if 'smallest box' in line)
    path = 'b.png' if boxes else 'a.png'
    assert line.endswith(f'{named} of 100 x 60 pixels in {path}')


def test_without_a_checkpoint_it_says_so(tmp_path):
    with pytest.raises(TrainingDivergedError, match='no checkpoint yet'):
        step(DivergenceHook(), make_runner(tmp_path), math.inf, 'a.jpg')


def test_explosion_is_against_the_median_of_the_window(tmp_path):
    hook, runner = DivergenceHook(explosion_factor=10, window=5), make_runner(tmp_path)
    step(hook, runner, 1e6)  # the window is not full yet
    for loss in (3.0, 2.0, 4.0, 3.0):
        step(hook, runner, loss)
    step(hook, runner, 30.0)  # not more than 10 x 3
    with pytest.raises(TrainingDivergedError, match='more than 10 times 3, the median of the 5'):
        step(hook, runner, 30.1)


def test_a_small_loss_never_explodes(tmp_path):
    hook, runner = DivergenceHook(explosion_factor=10, window=3), make_runner(tmp_path)
    for loss in (0.001, 0.001, 0.001, 9.9):
        step(hook, runner, loss)
    with pytest.raises(TrainingDivergedError, match='exploded'):
        step(hook, runner, 10.1)


def test_explosion_can_be_switched_off(tmp_path):
    hook, runner = DivergenceHook(explosion_factor=None, window=2), make_runner(tmp_path)
    for loss in (1.0, 1.0, 1e9):
        step(hook, runner, loss)


def test_a_gradient_that_is_not_finite(tmp_path, monkeypatch):
    runner = make_runner(tmp_path)
    runner.message_hub.update_scalar('train/grad_norm', math.inf)
    with pytest.raises(TrainingDivergedError, match='norm of the gradient is inf'):
        step(DivergenceHook(), runner, 1.0)
    # Mixed precision skips such a step by itself.
    monkeypatch.setattr(AmpOptimWrapper, '__init__', lambda self: None)
    runner.optim_wrapper = AmpOptimWrapper()
    runner.optim_wrapper.grad_name = 'grad_norm'
    step(DivergenceHook(), runner, 1.0)


def test_weights_are_checked_before_every_checkpoint_and_validation(tmp_path):
    runner = make_runner(tmp_path)
    with torch.no_grad():
        runner.model.weight[0, 0] = math.nan
    for stage in (DivergenceHook.after_train_epoch, DivergenceHook.before_val):
        with pytest.raises(TrainingDivergedError, match='weights not finite: weight'):
            stage(DivergenceHook(), runner)
    step(DivergenceHook(), runner, 1.0)  # not looked at in every step
    runner.hooks.append(CheckpointHook(interval=42, by_epoch=False))
    with pytest.raises(TrainingDivergedError, match='weights not finite: weight'):
        step(DivergenceHook(), runner, 1.0)


def worker(rank, folder):
    torch.set_num_threads(1)  # OpenMP does not survive a fork
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    hook, runner = DivergenceHook(), make_runner(folder)
    step(hook, runner, 1.0, 'fine.jpg')
    try:
        step(hook, runner, math.nan if rank == 1 else 1.0, f'rank{rank}.jpg')
    except TrainingDivergedError as error:
        (folder / f'{rank}.txt').write_text(str(error))
    torch.distributed.destroy_process_group()


def test_all_ranks_stop_and_say_why(tmp_path):
    multiprocessing.start_processes(worker, (tmp_path,), nprocs=2, start_method='fork')
    messages = [(tmp_path / f'{rank}.txt').read_text() for rank in range(2)]
    assert messages[0] == messages[1]
    assert 'rank 1: loss not finite' in messages[0]
    assert 'frames/rank1.jpg' in messages[0]
    assert 'rank0.jpg' not in messages[0]


def runner(rows, identities):
    model = nn.Module()
    model.num_ids, model.num_ids_key = rows, 'model.x.num_ids'
    dataset = SimpleNamespace(num_ids=identities, data_root='data/PRW')
    return SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=dataset))


def test_matching_identities_pass():
    NumIdentitiesCheckHook().before_train(runner(483, 483))


def test_models_that_learn_no_identities_pass():
    NumIdentitiesCheckHook().before_train(runner(None, 483))


@pytest.mark.parametrize('rows', [482, 484])
def test_another_number_of_identities_is_refused(rows):
    with pytest.raises(UserError, match='num_ids=483'):
        NumIdentitiesCheckHook().before_train(runner(rows, 483))


def test_a_metric_that_the_validation_has_not(tmp_path, caplog):
    """mmengine's own hook takes None for "not measured" and stops at a missing key."""
    best = CheckpointHook(save_best='search/mAP', rule='greater')
    logger = logging.getLogger('missing')
    hooks = [CheckpointHook(), best]
    runner = SimpleNamespace(
        hooks=hooks, logger=logger, epoch=1, iter=3, message_hub=MessageHub('m')
    )
    hook = MissingMetricHook()
    metrics = {'search/queries': 0.0, 'det/AP': 0.5}
    with pytest.raises(KeyError):
        best._save_best_checkpoint(runner, metrics)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            hook.after_val_epoch(runner, metrics := {'search/queries': 0.0, 'det/AP': 0.5})
            best._save_best_checkpoint(runner, metrics)
    assert metrics == {'search/queries': 0.0, 'det/AP': 0.5, 'search/mAP': None}
    assert [record.getMessage()[:39] for record in caplog.records] == [
        'the validation has no search/mAP, so th'
    ]
    hook.after_val_epoch(runner, metrics := {'search/mAP': 0.5})
    assert metrics == {'search/mAP': 0.5}
    assert get_priority(hook.priority) < get_priority(best.priority)
