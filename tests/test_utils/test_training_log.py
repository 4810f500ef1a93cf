import json

import pytest

from mmps.utils.errors import UserError
from mmps.utils.training_log import RECORD, read_training_log


def write_run(work_dir, name, rows, start=None):
    folder = work_dir / name / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    if start is not None:
        (work_dir / name / RECORD).write_text(json.dumps(dict(start_iteration=start)))


def train(iteration, loss, time=0.5, data_time=0.1, epoch=1):
    return dict(
        loss=loss, time=time, data_time=data_time, epoch=epoch, iter=iteration, step=iteration
    )


def val(epoch, value):
    return {'search/mAP': value, 'time': 9.0, 'data_time': 9.0, 'step': epoch}


def test_one_run(tmp_path):
    write_run(tmp_path, '1', [train(10, 4.0), train(20, 3.0, time=1.0), val(1, 0.2)], start=0)
    log = read_training_log(tmp_path)
    assert log.curves['loss'] == [(10, 4.0), (20, 3.0)]
    assert log.curves['search/mAP'] == [(20, 0.2)]
    assert log.validated == {'search/mAP'}
    assert (log.iterations, log.epochs, log.runs, log.steps) == (20, 1, 1, 20)
    assert log.seconds == pytest.approx(10 * 0.5 + 10 * 1.0)
    assert log.data_seconds == pytest.approx(20 * 0.1)
    assert 9.0 not in dict(log.curves['time']).values()


def test_where_runs_overlap_the_later_one_wins(tmp_path):
    """Killed after iteration 35, resumed from the checkpoint at 20."""
    write_run(
        tmp_path,
        '20250101_000000',
        [train(10, 4.0), train(20, 3.0), val(1, 0.2), train(30, 9.0, epoch=2)],
        start=0,
    )
    write_run(
        tmp_path,
        '20250102_000000',
        [train(30, 2.5, epoch=2), train(40, 2.0, epoch=2), val(2, 0.4)],
        start=20,
    )
    log = read_training_log(tmp_path)
    assert log.curves['loss'] == [(10, 4.0), (20, 3.0), (30, 2.5), (40, 2.0)]
    assert log.curves['search/mAP'] == [(20, 0.2), (40, 0.4)]
    assert (log.runs, log.steps, log.epochs) == (2, 40, 2)


def test_a_run_resumed_from_further_back_replaces_all_after(tmp_path):
    write_run(tmp_path, '1', [train(10, 1.0), train(20, 2.0)], start=0)
    write_run(tmp_path, '2', [train(30, 3.0)], start=20)
    write_run(tmp_path, '3', [train(20, 5.0)], start=10)
    assert read_training_log(tmp_path).curves['loss'] == [(10, 1.0), (20, 5.0)]


def test_logs_without_records_are_joined_by_their_lines(tmp_path):
    write_run(tmp_path, '1', [train(10, 1.0), train(20, 2.0), train(30, 3.0)])
    write_run(tmp_path, '2', [train(30, 4.0), train(40, 5.0)])
    log = read_training_log(tmp_path)
    assert log.curves['loss'] == [(10, 1.0), (20, 2.0), (30, 4.0), (40, 5.0)]
    assert log.steps == 40


def test_best(tmp_path):
    rows = [train(10, 2.0), val(1, 0.5), train(20, 1.0), val(2, 0.3), train(30, 3.0)]
    write_run(tmp_path, '1', rows, start=0)
    log = read_training_log(tmp_path)
    assert log.best('loss') == (20, 1.0)
    assert log.best('search/mAP') == (10, 0.5)
    assert log.best('time') is None


def test_a_line_cut_short_by_a_kill_is_passed_over_and_another_is_named(tmp_path):
    write_run(tmp_path, '1', [train(10, 1.0)], start=0)
    file = tmp_path / '1/vis_data/scalars.json'
    file.write_text(file.read_text() + '{"loss": 2')
    assert read_training_log(tmp_path).iterations == 10
    file.write_text('{"loss": 2\n' + json.dumps(train(10, 1.0)))
    with pytest.raises(UserError, match=r'scalars.json, line 1: not JSON'):
        read_training_log(tmp_path)


def test_tests_are_no_trainings(tmp_path):
    write_run(tmp_path, '1', [val(0, 0.5)])
    with pytest.raises(UserError, match='no log of a training'):
        read_training_log(tmp_path)
