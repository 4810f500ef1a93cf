"""The converters as they are called; what they convert is tested beside the formats."""

import json
import subprocess
import sys

import pytest
from helpers.picture_files import TURNED, person_picture, share_of_red, turned_file
from helpers.prw_files import write_tiny_prw
from helpers.scene_indices import assert_same_index
from PIL import Image

from mmps.datasets import CocoPersonSearchDataset
from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.from_config import set_num_ids
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles
from mmps.registry import DATASETS
from mmps.utils.config import load_config
from mmps.utils.errors import UserError

CONFIG = """
dataset = dict(type='{type}', data_root=r'{root}', {options})
train_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dict(test_mode=True, **dataset))
"""


@pytest.fixture
def cameras(tmp_path):
    """Images of three cameras, twelve in all, people 1 to 4 in different pairs."""
    rows = []
    for number in range(12):
        name = f'camera_{number % 3}/{number:02d}.jpg'
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (60, 30)).save(path)
        rows += [(name, 10 * k, 2, 10 * k + 8, 25, 1 + (number // 6 * 2 + k)) for k in range(2)]
    text = '\n'.join(','.join(map(str, row)) for row in rows)
    (tmp_path / 'boxes.csv').write_text(f'image,x1,y1,x2,y2,person_id\n{text}\n')
    return tmp_path


def check_own_data(root, people):
    """Both files load, with the images they name, and people are in one split only."""
    train = CocoPersonSearchDataset(data_root=str(root))
    test = CocoPersonSearchDataset(data_root=str(root), test_mode=True)
    assert train.num_ids == people
    assert len(train) + len(test) == 12
    assert test.search_annotations.num_queries > 0


def test_csv_to_coco(load_tool, cameras, capsys):
    tool = load_tool('dataset_converters/csv_to_coco.py')
    tool.main([str(cameras / 'boxes.csv'), '--test-share', '0.5', '--unlabelled', '-1', '-2'])
    printed = capsys.readouterr().out
    check_own_data(cameras, 2)
    assert printed.splitlines() == [
        f'train: 6 images, 3 cameras, 12 boxes, 12 labelled, 2 identities -> {cameras}/train.json',
        'test: 6 images, 3 cameras, 12 boxes, 12 labelled, 2 identities, 6 queries '
        f'-> {cameras}/test.json',
        'cameras: 1 = camera_0, 2 = camera_1, 3 = camera_2',
        '  12 images split by people, because the annotations do not say (first: camera_0/00.jpg)',
        '  6 queries chosen, the first box of each person in each camera '
        f'(first: {images_of_the_test(cameras)[0]})',
        f'config: {config_of(cameras)}; look at the data, and train with',
        f'  python tools/analysis_tools/dataset_report.py {config_of(cameras)}',
        f'  python tools/train.py {config_of(cameras)}',
    ]
    config_of(cameras).write_text('changed = True\n')
    tool.main([str(cameras / 'boxes.csv'), '--test-share', '0.5'])
    assert config_of(cameras).read_text() == 'changed = True\n'
    assert f'config: {config_of(cameras)}, which was there already; l' in capsys.readouterr().out


def config_of(root):
    """Where a converter writes its config."""
    return root / f'{root.name}.py'


def images_of_the_test(root):
    return [i['file_name'] for i in json.loads((root / 'test.json').read_text())['images']]


def test_files_elsewhere(load_tool, cameras, capsys):
    tool = load_tool('dataset_converters/csv_to_coco.py')
    out = cameras / 'new'
    arguments = ['--images', str(cameras / 'images'), '--out', str(out), '--test-share', '0.5']
    tool.main([str(cameras / 'boxes.csv'), *arguments])
    assert f'config: {config_of(out)};' in capsys.readouterr().out
    config = load_config(config_of(out), {})
    set_num_ids(config)
    assert config.model.roi_head.reid_head.num_ids == 2
    for split in ('train', 'val', 'test'):
        built = DATASETS.build(config[f'{split}_dataloader'].dataset)
        assert (len(built), built.test_mode) == (6, split != 'train')


def test_cvat_to_coco(load_tool, cameras):
    files = sorted((cameras / 'images').rglob('*.jpg'))
    entries = [
        dict(image_id=k + 1, category_id=1, bbox=[1, 2, 8, 9], attributes={'who': f'p{k // 3}'})
        for k in range(12)
    ]
    names = [file.relative_to(cameras / 'images').as_posix() for file in files]
    content = dict(
        images=[dict(id=k + 1, file_name=name) for k, name in enumerate(names)],
        annotations=entries,
        categories=[dict(id=1, name='person')],
    )
    (cameras / 'annotations').mkdir()
    export = cameras / 'annotations' / 'instances_default.json'
    export.write_text(json.dumps(content))
    tool = load_tool('dataset_converters/cvat_to_coco.py')
    tool.main([str(export), '--person-attribute', 'who', '--test-share', '0.5'])
    check_own_data(cameras, 2)


def test_two_tasks_of_cvat(load_tool, tmp_path, capsys):
    """As CVAT writes two videos: frames of the same names, in a folder of the subset."""
    paths = []
    for camera in ('hall', 'lift'):
        images = [dict(id=k, file_name=f'frame_{k:06d}.PNG') for k in range(4)]
        for k, image in enumerate(images):
            path = tmp_path / camera / 'images' / 'default' / image['file_name']
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (60, 30), (k, 0, 0) if camera == 'hall' else (0, k, 0)).save(path)
        entries = [
            dict(
                image_id=k, category_id=1, bbox=[5 * k, 2, 8, 9], attributes={'person_id': f'p{n}'}
            )
            for k in range(4)
            for n in (k % 2,)
        ]
        paths.append(tmp_path / camera / 'annotations' / 'instances_default.json')
        paths[-1].parent.mkdir()
        categories = [dict(id=1, name='person')]
        content = dict(images=images, annotations=entries, categories=categories)
        paths[-1].write_text(json.dumps(content))
    tool = load_tool('dataset_converters/cvat_to_coco.py')
    for options in ([], ['--images', str(tmp_path)]):
        tool.main([*map(str, paths), '--test-share', '0.5', *options])
        printed = capsys.readouterr().out
        assert 'cameras: 1 = hall, 2 = lift' in printed
        config = load_config(config_of(tmp_path / 'hall'), {})
        splits = [DATASETS.build(config[f'{s}_dataloader'].dataset) for s in ('train', 'test')]
        entries = [split.get_data_info(k) for split in splits for k in range(len(split))]
        assert len(entries) == 8
        for entry in entries:
            number = int(entry['img_path'][-10:-4])
            colour = Image.open(entry['img_path']).getpixel((0, 0))
            assert colour[entry['cam_id'] - 1] == number  # the picture of this camera
            assert entry['instances'][0]['bbox'] == [5 * number, 2, 5 * number + 8, 11]


def test_label_studio_to_coco(load_tool, cameras):
    value = dict(x=10, y=10, width=50, height=80, rectanglelabels=['x'])
    tasks = []
    for number, file in enumerate(sorted((cameras / 'images').rglob('*.jpg'))):
        result = dict(
            id='r',
            type='rectanglelabels',
            from_name='who',
            original_width=60,
            original_height=30,
            value=value | dict(rectanglelabels=[f'p{number // 3}']),
        )
        tasks.append(dict(data=dict(image=f's3://b/{file}'), annotations=[dict(result=[result])]))
    (cameras / 'export.json').write_text(json.dumps(tasks))
    tool = load_tool('dataset_converters/label_studio_to_coco.py')
    tool.main([str(cameras / 'export.json'), '--person-from', 'who', '--test-share', '0.5'])
    check_own_data(cameras, 2)


def test_mot_to_coco(load_tool, tmp_path, capsys):
    for name in ('hall', 'lift'):
        (tmp_path / name / 'img1').mkdir(parents=True)
        (tmp_path / name / 'gt').mkdir()
        for number in (1, 2, 3):
            Image.new('RGB', (60, 30)).save(tmp_path / name / 'img1' / f'{number:06d}.jpg')
        rows = [f'{n},{p},{9 * p},3,8,20,1,1,1' for n in (1, 2, 3) for p in (1, 2)]
        (tmp_path / name / 'gt' / 'gt.txt').write_text('\n'.join(rows))
    tool = load_tool('dataset_converters/mot_to_coco.py')
    sequences = [str(tmp_path / 'hall'), str(tmp_path / 'lift')]
    tool.main([*sequences, '--test', sequences[1], '--one-based'])
    printed = capsys.readouterr().out
    assert 'train: 3 images, 1 cameras, 6 boxes, 6 labelled, 2 identities' in printed
    assert "image_folder=''" in config_of(tmp_path).read_text()
    dataset = CocoPersonSearchDataset(data_root=str(tmp_path), image_folder='')
    assert dataset.get_data_info(0)['instances'][0]['bbox'] == [8, 2, 16, 22]
    tool.main([*sequences, '--shared-ids', '--every', '2', '--test-share', '0.5'])
    assert '2 frames left out' in capsys.readouterr().out


def write_config(folder, kind, root, **options):
    path = folder / f'{kind}.py'
    words = ', '.join(f'{key}={value!r}' for key, value in options.items())
    path.write_text(CONFIG.format(type=kind, root=root, options=words))
    return str(path)


def test_prw_to_coco_to_prw(load_tool, tmp_path, capsys):
    root = write_tiny_prw(tmp_path / 'PRW')
    load_tool('dataset_converters/dataset_to_coco.py').main(
        [write_config(tmp_path, 'PRWDataset', root)]
    )
    printed = capsys.readouterr().out
    assert f"data_root='{root}', image_folder='frames')" in printed
    assert f'5 identities, 5 queries -> {root}/test.json' in printed
    for test_mode in (False, True):
        coco = read_scenes(CocoPersonSearchFiles(root, test_mode, image_folder='frames'))[0]
        assert_same_index(coco, read_scenes(PRWFiles(root, test_mode))[0])
    config = write_config(tmp_path, 'CocoPersonSearchDataset', root, image_folder='frames')
    tool = load_tool('dataset_converters/dataset_to_prw.py')
    tool.main([config, '--out', str(tmp_path / 'again')])
    again = read_scenes(PRWFiles(tmp_path / 'again'))[0]
    before = read_scenes(PRWFiles(root))[0]
    for one, other in zip(again.frames, before.frames, strict=True):
        assert one.bboxes.tolist() == other.bboxes.tolist()
        assert one.person_ids.tolist() == other.person_ids.tolist()
    assert 'test: 4 images' in capsys.readouterr().out


def test_a_file_is_not_converted_onto_itself(load_tool, tmp_path):
    root = write_tiny_prw(tmp_path / 'PRW')
    tool = load_tool('dataset_converters/dataset_to_coco.py')
    tool.main([write_config(tmp_path, 'PRWDataset', root)])
    config = write_config(tmp_path, 'CocoPersonSearchDataset', root, image_folder='frames')
    with pytest.raises(UserError, match=r'train\.json is what would be read; .* --out'):
        tool.main([config])
    tool.main([config, '--out', str(tmp_path / 'copy')])
    assert (tmp_path / 'copy' / 'test.json').read_text() == (root / 'test.json').read_text()


@pytest.mark.parametrize('name', ['dataset_to_coco', 'dataset_to_prw'])
def test_data_sets_of_others_are_refused(load_tool, tmp_path, name):
    config = write_config(tmp_path, 'CocoDataset', tmp_path)
    tool = load_tool(f'dataset_converters/{name}.py')
    with pytest.raises(UserError, match='train_dataloader.dataset of .* is a CocoDataset; this to'):
        tool.main([config, '--out', str(tmp_path / 'out')])


def test_a_wrong_table_is_one_line_and_status_2(tools, cameras):
    table = cameras / 'boxes.csv'
    table.write_text('image,x1,y1,x2,y2,person_id\na.jpg,1,2,3,4\n')
    tool = str(tools / 'dataset_converters/csv_to_coco.py')
    done = subprocess.run([sys.executable, tool, str(table)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {table}, line 2: 5 values for 6 columns; put values that hold ',' in double "
        'quotes\n'
    )
    assert not (cameras / 'train.json').exists()


@pytest.mark.parametrize('container', TURNED)
def test_boxes_drawn_on_turned_pictures_are_on_their_people(load_tool, tmp_path, container):
    """From the table of an annotator, who sees pictures upright, to what the network is given."""
    box = (20, 90, 60, 150)
    lines = ['image,x1,y1,x2,y2,person_id']
    for camera in ('hall', 'lift'):
        for person in range(2):
            path = tmp_path / 'images' / camera / f'{person}.{container.split(",")[0]}'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(turned_file(person_picture(box, 96, 160), container, 6))
            name = path.relative_to(tmp_path / 'images')
            lines.append(f'{name},{",".join(map(str, box))},{person}')
    (tmp_path / 'boxes.csv').write_text('\n'.join(lines))
    tool = load_tool('dataset_converters/csv_to_coco.py')
    tool.main([str(tmp_path / 'boxes.csv'), '--test-share', '0.5'])
    pipeline = [dict(type='LoadSceneImage'), dict(type='LoadAnnotations', with_bbox=True)]
    dataset = CocoPersonSearchDataset(data_root=str(tmp_path), pipeline=pipeline)
    assert len(dataset) == 2
    for sample in dataset:
        assert sample['img_shape'] == (160, 96)
        ((x1, y1, x2, y2),) = sample['gt_bboxes'].numpy().astype(int)
        assert share_of_red(sample['img'][y1:y2, x1:x2, ::-1]) > 0.98
