import json
import subprocess
import sys

import cv2
import pytest
from helpers.prw_files import write_tiny_prw

from mmps.utils.errors import UserError

CONFIG = """
train_dataloader = dict(dataset=dict(type='PRWDataset', data_root='{root}', pipeline=['none']))
test_dataloader = dict(dataset=dict(type='PRWDataset', data_root='{root}', test_mode=True))
"""


@pytest.fixture
def root(tmp_path):
    return write_tiny_prw(tmp_path / 'prw')


@pytest.fixture
def run(load_tool, root, tmp_path):
    tool = load_tool('analysis_tools/dataset_report.py')

    def run(*arguments, config=CONFIG):
        path = tmp_path / 'config.py'
        path.write_text(config.format(root=root))
        tool.main([str(path), '--out', str(tmp_path / 'out'), *arguments])
        return json.loads((tmp_path / 'out/report.json').read_text())

    return run


def test_table_json_and_picture(run, tmp_path, capsys):
    report = run('--check-images', '--decode', '--strict')
    assert list(report['splits']) == ['train', 'test']
    assert report['splits']['test']['image_sizes'] == {'160 x 120': 4}
    assert report['problems'] == []
    output = capsys.readouterr().out
    assert 'no problem found' in output
    assert f'picture: {tmp_path}/out/report.png' in output
    assert cv2.imread(str(tmp_path / 'out/report.png')).shape[1] == 1300


def test_one_split_does_not_need_the_files_of_the_other(run, root):
    (root / 'frame_test.mat').unlink()
    assert list(run('--split', 'train')['splits']) == ['train']
    with pytest.raises(FileNotFoundError, match='frame_test.mat'):
        run()


def test_strict_ends_with_1_only_where_there_are_errors(run, root, capsys):
    (root / 'frames/c1s1_000000.jpg').unlink()
    report = run()
    assert report['problems'][0]['kind'] == 'image file missing'
    with pytest.raises(SystemExit) as end:
        run('--strict')
    assert end.value.code == 1
    assert 'error   train        1  image file missing' in capsys.readouterr().out
    run('--strict', '--split', 'test')


def test_images_in_another_folder(run, root):
    (root / 'frames').rename(root / 'pictures')
    missing = run()['problems'][0]
    assert (missing['kind'], missing['count']) == ('image file missing', 4)
    folders = [f'{s}_dataloader.dataset.data_prefix.img=pictures' for s in ('train', 'test')]
    assert run('--cfg-options', *folders)['problems'] == []


@pytest.mark.parametrize(
    ('dataset', 'message'),
    [
        (
            "dict(type='RepeatDataset', times=2, dataset=dict(type='PRWDataset'))",
            'train_dataloader.dataset of .* is a RepeatDataset around other data sets',
        ),
        ("dict(type='ConcatDataset', datasets=[])", 'is a ConcatDataset around other data sets'),
        ("dict(type='MyDataset')", 'is a MyDataset; this tool reads .*PRWDataset'),
        ("dict(type='PRWDataset')", 'has no data_root'),
        ('None', 'has no train_dataloader.dataset'),
    ],
)
def test_data_sets_whose_files_are_not_known(run, dataset, message):
    with pytest.raises(UserError, match=message):
        run(config=f'train_dataloader = dict(dataset={dataset})')


def test_annotations_that_cannot_be_read_are_an_error_of_the_user(run, root):
    (root / 'query_info.txt').write_text('nonsense\n')
    with pytest.raises(UserError, match='query_info.txt, line 1'):
        run()


def test_needs_neither_torch_nor_mmdet(tools, root, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(CONFIG.format(root=root))
    code = (
        'import runpy, sys\n'
        'sys.argv = sys.argv[1:]\n'
        'runpy.run_path(sys.argv[0], run_name="__main__")\n'
        'print(sorted({"mmdet", "mmcv", "torch"} & set(sys.modules)))\n'
    )
    tool = tools / 'analysis_tools/dataset_report.py'
    arguments = [tool, config, '--out', tmp_path / 'out']
    result = subprocess.run(
        [sys.executable, '-c', code, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == '[]'
