"""Pictures of attention, similarities and embeddings, and the start of the web page."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from helpers.coloured_people import ColourNetwork, coloured_scene
from mmengine.config import Config

from mmps.apis import PersonSearcher
from mmps.evaluation.functional import SearchPredictions, save_predictions
from mmps.formats.from_config import test_annotations as annotations_of
from mmps.retrieval import Gallery
from mmps.utils.checkpoint import save_untrained
from mmps.utils.errors import UserError
from mmps.visualization import write_image

LEFT, RIGHT = (10, 20, 34, 80), (120, 30, 140, 86)


@pytest.fixture(scope='module')
def model(config_file, tmp_path_factory):
    """Config and checkpoint of an untrained model, as arguments."""
    checkpoint = tmp_path_factory.mktemp('picture_tools') / 'tiny.pth'
    save_untrained(Config.fromfile(config_file).model, checkpoint, seed=3)
    return [str(config_file), str(checkpoint)]


@pytest.fixture
def scenes(tmp_path):
    """Two scenes, with two people and one person."""
    write_image(
        tmp_path / 'cam1_a.png', coloured_scene([((0, 0, 250), LEFT), ((0, 250, 0), RIGHT)])
    )
    write_image(tmp_path / 'cam2_b.png', coloured_scene([((0, 0, 250), RIGHT)]))
    return [str(tmp_path / 'cam1_a.png'), str(tmp_path / 'cam2_b.png')]


@pytest.fixture
def searcher():
    return PersonSearcher.of_network(ColourNetwork())


@pytest.fixture
def gallery(scenes, searcher, tmp_path):
    gallery = Gallery.open(tmp_path / 'people.lance', searcher.tag)
    searcher.index(scenes, gallery, name_pattern=r'cam(?P<camera>\d)_', progress=False)
    return str(tmp_path / 'people.lance')


def test_attention(load_tool, model, config_file, tmp_path):
    frame = next((config_file.parent / 'prw/frames').iterdir())
    tool, out = load_tool('analysis_tools/draw_attention.py'), tmp_path / 'a.png'
    tool.main([*model, str(frame), '--score-thr', '0', '--max-people', '3', '--out', str(out)])
    assert cv2.imread(str(out)).shape[0] > 200
    with pytest.raises(UserError, match='score-thr'):
        tool.main([*model, str(frame), '--score-thr', '1', '--out', str(out)])
    with pytest.raises(UserError, match='only looked at in torch'):
        tool.main([*model, str(frame), '--backend', 'onnxruntime', '--out', str(out)])


def test_similarities(load_tool, scenes, searcher, tmp_path, monkeypatch, capsys):
    tool, out = load_tool('analysis_tools/draw_similarities.py'), tmp_path / 's.png'
    monkeypatch.setattr(tool, 'build_searcher', lambda arguments, batch_size: searcher)
    boxed = f'{scenes[0]}:10,20,34,80'
    tool.main(['config.py', 'c.pth', boxed, scenes[1], scenes[0], '--out', str(out)])
    assert [line.rpartition(': ')[2] for line in capsys.readouterr().out.splitlines()[:3]] == [
        '1 people',
        '1 people',
        '2 people',
    ]
    assert cv2.imread(str(out)) is not None
    with pytest.raises(UserError, match='outside the image'):
        tool.main(['config.py', 'c.pth', f'{scenes[0]}:900,900,950,950', '--out', str(out)])


def test_names_with_colons(load_tool):
    split = load_tool('analysis_tools/draw_similarities.py').split_box
    assert split('a:b.png') == ('a:b.png', None) and split('a.png') == ('a.png', None)
    assert split('C:a.png:1,2,3,4.5') == ('C:a.png', [1, 2, 3, 4.5])


@pytest.mark.parametrize('options', [[], ['--projection', 'pca', '--colour-by', 'source']])
def test_map_of_a_gallery(load_tool, gallery, tmp_path, options):
    out = tmp_path / 'map.png'
    load_tool('analysis_tools/draw_embedding_map.py').main([gallery, '--out', str(out), *options])
    assert cv2.imread(str(out)).std() > 1


def test_map_of_predictions(load_tool, config_file, tmp_path, monkeypatch):
    """Who a detection is, is who it overlaps most; the others are left out."""
    annotations = annotations_of(Config.fromfile(config_file))
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(len(annotations.bboxes) + annotations.num_queries, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    people = len(annotations.bboxes)
    save_predictions(
        tmp_path / 'p.npz',
        SearchPredictions(
            annotations.image_names,
            annotations.box_splits,
            annotations.bboxes + 1,
            np.ones(people),
            rows[:people],
            rows[people:],
        ),
    )
    tool, out = load_tool('analysis_tools/draw_embedding_map.py'), tmp_path / 'map.png'
    found = tool.of_predictions(
        SimpleNamespace(source=tmp_path / 'p.npz', config=str(config_file), cfg_options={})
    )
    expected = [f'person {number}' for number in annotations.person_ids if number >= 0]
    assert found.labels == expected
    tool.main([str(tmp_path / 'p.npz'), '--config', str(config_file), '--out', str(out)])
    assert cv2.imread(str(out)).std() > 1
    with pytest.raises(UserError, match='--config'):
        tool.main([str(tmp_path / 'p.npz'), '--out', str(out)])


def test_the_page_is_started_on_this_machine_only(load_tool, gallery, searcher, monkeypatch):
    tool, served = load_tool('demo.py'), []
    monkeypatch.setattr(tool, 'build_searcher', lambda arguments, batch_size: searcher)
    monkeypatch.setattr(
        'mmps.web.app.serve', lambda *arguments, **options: served.append((arguments, options))
    )
    tool.main(['config.py', 'c.pth', '--gallery', gallery, '--max-megapixels', '2'])
    (((service, *places), options),) = served
    assert places == ['127.0.0.1', 7860, 20 * 2**20]
    assert options == dict(public_url=None, show=False)
    assert service.max_pixels == 2_000_000 and len(service.gallery) == 3
    with pytest.raises(UserError, match='no gallery|not exist|missing'):
        tool.main(['config.py', 'c.pth', '--gallery', f'{gallery}2.lance'])
    with pytest.raises(SystemExit):
        tool.main(['config.py', 'c.pth', '--gallery', gallery, '--max-megabytes', '0'])
