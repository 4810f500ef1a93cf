"""Index and search from the command line, on an untrained model and a handful of images."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmps.apis import PersonSearcher
from mmps.cli.common import run_tool
from mmps.retrieval import Gallery, ModelTag, Where
from mmps.utils.checkpoint import save_untrained
from mmps.utils.errors import UserError
from mmps.visualization import read_image


@pytest.fixture(scope='module')
def model(config_file, tmp_path_factory):
    """Config and checkpoint as arguments, and the folder of the scenes."""
    from mmengine.config import Config

    checkpoint = tmp_path_factory.mktemp('search_tools') / 'tiny.pth'
    save_untrained(Config.fromfile(config_file).model, checkpoint, seed=3)
    return [str(config_file), str(checkpoint)], config_file.parent / 'prw' / 'frames'


@pytest.fixture(scope='module')
def video(model, load_tool, tmp_path_factory):
    path = tmp_path_factory.mktemp('video') / 'v.avi'
    load_tool('misc/make_video.py').main(
        [str(model[1]), '--out', str(path), '--fps', '4', '--hold', '2']
    )
    return path


@pytest.fixture(scope='module')
def gallery(model, video, load_tool, tmp_path_factory):
    """Address of a gallery of all scenes and a video of them."""
    address = tmp_path_factory.mktemp('gallery') / 'people.lance'
    pattern = r'c(?P<camera>\d)s\d_(?P<number>\d+)'
    metadata = ['--metadata', 'floor=2', 'code=1e3']
    options = ['--score-thr', '0', '--name-pattern', pattern, *metadata]
    times = ['--fps', '2', '--start-time', '2026-03-01T12:00:00+00:00']
    sources = [str(model[1]), str(video)]
    load_tool('index_gallery.py').main(
        [*model[0], *sources, '--gallery', str(address), *options, *times]
    )
    return address


def search(load_tool, model, gallery, *arguments):
    load_tool('search_person.py').main(
        [*model[0], *map(str, arguments), '--gallery', str(gallery), '--score-thr', '0']
    )


def test_gallery_holds_scenes_and_sampled_video(gallery, model, video):
    images = sorted(model[1].iterdir())
    known = Gallery.open(gallery, create=False).known()
    assert known == {(str(p), 0) for p in images} | {(str(video), 2 * n) for n in range(8)}
    info = Gallery.open(gallery, create=False).info()
    assert info.cameras == tuple('123456')
    assert info.first == 1772366400.0 and info.last == info.first + 3.5


def test_indexing_again_says_that_everything_is_there(gallery, model, load_tool, capsys):
    arguments = [*model[0], str(model[1]), '--gallery', str(gallery)]
    load_tool('index_gallery.py').main(arguments)
    assert '0 images added' in (out := capsys.readouterr().out)
    assert '8 were there already' in out


def test_several_pictures_and_those_of_somebody_else(gallery, model, load_tool, tmp_path):
    first, second, third = sorted(model[1].iterdir())[:3]
    box, out = (10.0, 20.0, 60.0, 100.0), tmp_path / 'hits.json'
    words = [f'{first}@10,20,60,100', f'{second}@10,20,60,100']
    options = ['--not', f'{third}@10,20,60,100', '--other-scenes', '--min-similarity', '-2']
    arguments = [*words, *options, '--gallery', str(gallery), '--out', str(out)]
    load_tool('search_person.py').main([*model[0], *arguments])
    searcher = PersonSearcher(*model[0])
    pictures = [searcher.query(path, box) for path in (first, second, third)]
    expected = searcher.search(pictures[:2], gallery=gallery, wrong=pictures[2:], other_scenes=True)
    hits = json.loads(out.read_text())['hits']
    assert [hit['id'] for hit in hits] == [str(hit.id) for hit in expected]
    assert not {hit['source'] for hit in hits} & {str(first), str(second)}
    for words, message in (
        ([str(first), str(second), '--box', '1,2,30,40'], '--box is of one QUERY'),
        ([f'{first}@1,2,3'], 'jpg@1,2,3: '),
        (['nowhere.jpg'], 'query nowhere.jpg: there is no such file'),
    ):
        with pytest.raises(UserError, match=message):
            load_tool('search_person.py').main([*model[0], *words, '--gallery', str(gallery)])


def test_search_agrees_with_the_api(gallery, model, load_tool, tmp_path, capsys):
    query, box = sorted(model[1].iterdir())[0], (10.0, 20.0, 60.0, 100.0)
    out, pictures = tmp_path / 'hits.json', tmp_path / 'pictures'
    options = ['--box', '10,20,60,100', '--top-k', '7', '--out', out, '--show-dir', pictures]
    search(load_tool, model, gallery, query, *options, '--blur-others')
    hits = json.loads(out.read_text())['hits']
    expected = PersonSearcher(*model[0]).search(query, box, 7, gallery=gallery)
    found = [(hit['id'], hit['similarity']) for hit in hits]
    assert found == [(str(hit.id), hit.similarity) for hit in expected]
    assert len(hits) == 7
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ['rank', 'similarity', 'camera', 'time']
    for rank, (hit, line) in enumerate(zip(expected, lines[1:8], strict=True), start=1):
        assert line.startswith(f'{rank} ') and line.endswith(hit.source)
        assert ','.join(f'{value:.0f}' for value in hit.bbox) in line
    assert sorted(p.name for p in pictures.iterdir()) == sorted(
        ['ranking.png', *(f'hit_0{n}.jpg' for n in range(1, 8))]
    )
    assert read_image(pictures / 'ranking.png').shape[1] > 1000


def test_an_approximate_search_says_that_it_is_one(gallery, model, load_tool, tmp_path, capsys):
    query, copy = sorted(model[1].iterdir())[0], tmp_path / 'copy.lance'
    shutil.copytree(gallery, copy)
    options = ['--box', '10,20,60,100', '--out', tmp_path / 'hits.json', '--approximate']
    found = []
    for say in ('exact: the gallery has no index, which `python tools/', 'approximate: by'):
        search(load_tool, model, copy, query, *options)
        assert capsys.readouterr().out.startswith(say)
        found.append(json.loads((tmp_path / 'hits.json').read_text()))
        load_tool('manage_gallery.py').main([str(copy), 'index', '--above', '0'])
        assert 'find 100.0% of the 20' in capsys.readouterr().out
    assert found[1].pop('approximate') and found[1] == found[0]


def test_filters(gallery, model, load_tool, tmp_path, video):
    query, out = sorted(model[1].iterdir())[0], tmp_path / 'hits.json'

    def found(*filters):
        options = ['--box', '10,20,60,100', '--top-k', '999', '--out', out]
        search(load_tool, model, gallery, query, *options, *filters)
        return json.loads(out.read_text())['hits']

    assert {hit['camera'] for hit in found('--camera', '2', '5')} == {'2', '5'}
    assert {hit['source'] for hit in found('--source', video)} == {str(video)}
    late = found('--since', '2026-03-01T12:00:01+00:00', '--until', '2026-03-01T12:00:02+00:00')
    assert {hit['offset'] for hit in late} == {1.0, 1.5}
    assert len(found('--where', 'floor=2')) == len(found()) > len(late) > 0
    assert found('--where', 'floor=3') == []
    assert len(found('--where', 'code=1e3')) == len(found('--where', 'code=1e3', 'floor=2')) > 0
    number = Path(query).stem.partition('_')[2]  # digits, with zeros before them
    named = found('--where', f'number={number}')
    assert {hit['metadata']['number'] for hit in named} == {number} and number.startswith('0')
    assert {hit['metadata']['code'] for hit in named} == {'1e3'}
    opened = Gallery.open(gallery, create=False)
    assert opened.count(Where(metadata={'number': number})) == len(named)
    assert opened.count(Where(metadata={'floor': '2'})) == opened.count(
        Where(metadata={'floor': 2})
    )


def test_times_that_are_ambiguous_or_in_another_unit(gallery, model, load_tool, capsys):
    for text, hint in (
        ('2026', 'write 2026-03-01'),
        ('1_000', 'write 2026-03-01'),
        ('1772366400123', 'milliseconds'),
    ):
        with pytest.raises(SystemExit):
            search(load_tool, model, gallery, 'q.jpg', '--since', text)
        assert hint in capsys.readouterr().err


def test_times_in_names_that_no_calendar_has_are_problems(model, load_tool, tmp_path, capsys):
    scene = next(model[1].iterdir())
    names = ('cam1_1772366400123', 'cam2_1772366401123', 'cam3_99999999999999')
    for name in names:
        shutil.copy(scene, tmp_path / f'{name}{scene.suffix}')
    address = tmp_path / 'people.lance'
    pattern = r'cam(?P<camera>\d)_(?P<epoch>\d+)\.'
    options = ['--gallery', str(address), '--score-thr', '0', '--name-pattern', pattern]
    load_tool('index_gallery.py').main([*model[0], str(tmp_path), *options])
    printed = capsys.readouterr().out
    assert '2 images added' in printed and '1 problems' in printed
    assert 'cam3_99999999999999' in printed and 'in no calendar' in printed
    info = Gallery.open(address, create=False).info()
    assert (info.first, info.last) == (1772366400.123, 1772366401.123)


def test_names_that_the_terminal_cannot_print(model, load_tool, tmp_path, monkeypatch):
    folder = tmp_path / '大厅'
    folder.mkdir()
    scene = next(model[1].iterdir())
    shutil.copy(scene, folder / f'1{scene.suffix}')
    (folder / '说明.txt').touch()
    gallery = ['--gallery', str(tmp_path / 'people.lance'), '--score-thr', '0']

    def run(tool, *arguments):
        terminal = io.TextIOWrapper(io.BytesIO(), 'cp1252')
        monkeypatch.setattr('sys.stdout', terminal)
        run_tool(lambda: load_tool(tool).main([*arguments]))
        terminal.flush()
        return terminal.buffer.getvalue().decode('cp1252')

    run('index_gallery.py', *model[0], str(folder), *gallery, '--camera', '大厅')
    assert '\\u5927\\u5385' in run('manage_gallery.py', gallery[1], 'info')
    query = [str(folder / scene.with_stem('1').name), '--box', '10,20,60,100']
    assert '\\u5927\\u5385' in run('search_person.py', *model[0], *query, *gallery)


def test_several_people_are_listed_and_drawn(gallery, model, load_tool, tmp_path):
    query = sorted(model[1].iterdir())[0]
    with pytest.raises(UserError, match=r'people are in .*; give --box of one of them') as caught:
        search(load_tool, model, gallery, query, '--show-dir', tmp_path)
    assert '\n  2: ' in str(caught.value)
    assert str(tmp_path / 'query.png') in str(caught.value)
    assert read_image(tmp_path / 'query.png').shape == read_image(query).shape


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (['--box', '1,2,3'], 'no box; write x1,y1,x2,y2'),
        (['--since', 'noon'], "'noon' is no time"),
        (['--top-k', '0'], "'0' is no positive number"),
        (['--where', 'floor'], "'floor' is not KEY=VALUE"),
    ],
)
def test_arguments_that_mean_nothing(gallery, model, load_tool, capsys, arguments, problem):
    with pytest.raises(SystemExit):
        search(load_tool, model, gallery, 'q.jpg', *arguments)
    assert problem in capsys.readouterr().err


def test_what_is_missing_is_named(gallery, model, load_tool, tmp_path, capsys):
    query = sorted(model[1].iterdir())[0]
    with pytest.raises(UserError, match=r'gone\.jpg: there is no such file'):
        search(load_tool, model, gallery, 'gone.jpg', '--box', '1,2,30,40')
    with pytest.raises(UserError, match=r'nothing\.lance'):
        search(load_tool, model, tmp_path / 'nothing.lance', query, '--box', '1,2,30,40')
    (tmp_path / 'text.jpg').write_text('no image')
    with pytest.raises(UserError, match=r'text\.jpg: not an image'):
        search(load_tool, model, gallery, tmp_path / 'text.jpg')
    index = load_tool('index_gallery.py')
    with pytest.raises(SystemExit) as caught:
        index.main([*model[0], str(tmp_path / 'gone'), '--gallery', str(tmp_path / 'g.lance')])
    assert caught.value.code == 1
    assert 'gone: no such file or folder' in capsys.readouterr().out
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SystemExit) as caught:
        index.main([*model[0], str(tmp_path / 'empty'), '--gallery', str(tmp_path / 'g.lance')])
    assert caught.value.code == 1
    assert 'empty: no images or videos in this folder' in capsys.readouterr().out
    assert not (tmp_path / 'g.lance').exists()
    with pytest.raises(FileNotFoundError, match=r'checkpoint none\.pth'):
        index.main([model[0][0], 'none.pth', str(query), '--gallery', str(tmp_path / 'g.lance')])


def test_why_nobody_was_found(gallery, model, load_tool, capsys):
    query = sorted(model[1].iterdir())[0]
    filters = ['--camera', 'lobby', '--since', '2027-01-01']
    search(load_tool, model, gallery, query, '--box', '10,20,60,100', *filters)
    info = Gallery.open(gallery).info()
    timed = Gallery.open(gallery).count(Where(since=info.first))
    assert capsys.readouterr().out == (
        'nobody in the gallery passes the filter; cameras in the gallery: 1, 2, 3, 4, 5, 6; '
        f'of {info.people - timed} of its {info.people} people the time is not known\n'
    )


def test_ranks_of_a_launcher(model, load_tool, tmp_path, monkeypatch, capsys):
    index, address = load_tool('index_gallery.py'), tmp_path / 'g.lance'
    arguments = [*model[0], str(model[1]), '--gallery', str(address), '--launcher', 'pytorch']
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(UserError, match='RANK.* not set; start the processes with torchrun'):
        index.main(arguments)
    monkeypatch.setenv('WORLD_SIZE', '2')
    for rank in '01':
        monkeypatch.setenv('RANK', rank)
        index.main(arguments)
    assert capsys.readouterr().out.count('4 images added') == 2
    assert len(Gallery.open(address, create=False).known()) == 8


def test_video_of_scenes(model, video, load_tool, tmp_path, capsys):
    from mmps.sources import read_video

    frames = [image for _, _, image in read_video(str(video))]
    scenes = [read_image(path) for path in sorted(model[1].iterdir())]
    assert len(frames) == 2 * len(scenes)
    for number, frame in enumerate(frames):
        difference = np.abs(frame.astype(int) - scenes[number // 2])
        assert difference.mean() < 25  # of lossy compression of noise
    tool = load_tool('misc/make_video.py')
    with pytest.raises(UserError, match=r'no image to make a video of\n.*gone'):
        tool.main([str(tmp_path / 'gone'), '--out', str(tmp_path / 'v.mp4')])


def test_benchmark_of_indexing(model, load_tool, tmp_path):
    out = tmp_path / 'b.json'
    load_tool('analysis_tools/benchmark.py').main(
        ['index', *model[0], str(model[1]), '--repeats', '1', '--out', str(out)]
    )
    numbers = {m['name']: m['value'] for m in json.loads(out.read_text())['measurements']}
    assert numbers['images'] == 8
    assert numbers['share'] == pytest.approx(
        100 * numbers['indexing'] / numbers['network alone'], rel=1e-6
    )


@pytest.fixture
def crowd(model, tmp_path):
    """A gallery of the model in whose frames people stand apart, besides the scenes."""
    from mmps.retrieval import IndexedFrame

    searcher = PersonSearcher(*model[0])
    gallery = Gallery.open(tmp_path / 'crowd.lance', searcher.tag)
    rng = np.random.default_rng(0)
    boxes = np.float32([[0, 0, 9, 20], [20, 0, 29, 20], [40, 0, 49, 20]])
    for number in range(20):
        vectors = rng.standard_normal((3, searcher.tag.embed_dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        scores = np.ones(3, np.float32)
        gallery.append([IndexedFrame(f'{number}.png', (64, 48), boxes, scores, vectors)])
    return tmp_path / 'crowd.lance'


def calibrate(load_tool, *arguments):
    load_tool('analysis_tools/calibrate.py').main([*map(str, arguments)])


def test_calibrate_and_search(crowd, model, load_tool, tmp_path, capsys):
    query, out = sorted(model[1].iterdir())[0], tmp_path / 'hits.json'
    options = ['--box', '10,20,60,100', '--top-k', '5', '--out', out]
    search(load_tool, model, crowd, query, *options)
    plain, before = capsys.readouterr().out, json.loads(out.read_text())
    calibrate(load_tool, '--gallery', crowd)
    printed = capsys.readouterr().out
    assert '60 pairs of strangers, ' in printed and 'kept beside' in printed
    search(load_tool, model, crowd, query, *options, '--show-dir', tmp_path / 'found')
    lines, after = capsys.readouterr().out.splitlines(), json.loads(out.read_text())
    judged = Gallery.open(crowd, create=False).calibration
    assert lines[0].split()[:3] == ['rank', 'similarity', 'strangers']
    assert 'strangers' not in plain
    for old, new in zip(before['hits'], after['hits'], strict=True):
        assert old == {key: new[key] for key in old}
        assert new['false_match']['rate'] == judged.false_match(new['similarity']).rate
    above = after['judgement']['above_line']
    assert above == 5 or lines[above + 1].startswith('----- below this line')
    assert any('60 people searched' in line for line in lines)
    assert (tmp_path / 'found' / 'ranking.png').is_file()


def test_nobody_to_calibrate_by(load_tool, tmp_path):
    address = tmp_path / 'empty.lance'
    Gallery.open(address, ModelTag('0', 8, 'a model'))
    with pytest.raises(UserError, match='no frame shows two people'):
        calibrate(load_tool, '--gallery', address)


def test_a_calibration_in_a_file(crowd, model, load_tool, tmp_path, capsys):
    file, query = tmp_path / 'c.json', sorted(model[1].iterdir())[0]
    calibrate(load_tool, '--gallery', crowd, '--out', file)
    assert Gallery.open(crowd, create=False).calibration is None
    search(load_tool, model, crowd, query, '--box', '10,20,60,100', '--calibration', file)
    assert 'people searched' in capsys.readouterr().out
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | dict(model=content['model'] | dict(fingerprint='x'))))
    with pytest.raises(UserError, match='this calibration was made by .*, but this is'):
        search(load_tool, model, crowd, query, '--box', '10,20,60,100', '--calibration', file)


@pytest.fixture
def labelled(model, crowd, tmp_path):
    """Options for a test set of 24 people, and predictions that could be of the crowd's model."""
    from helpers.prw_files import write_tiny_prw

    from mmps.evaluation.functional import SearchPredictions, save_predictions
    from mmps.formats.from_config import test_annotations as annotations_of
    from mmps.utils.config import load_config

    root = write_tiny_prw(tmp_path / 'prw', test_frames=16, num_ids=24)
    options = {'test_dataloader.dataset.data_root': str(root)}
    annotations = annotations_of(load_config(model[0][0], options))
    dim = Gallery.open(crowd, create=False).model.embed_dim
    rows = np.random.default_rng(0).standard_normal((len(annotations.bboxes), dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = np.repeat(rows[:1], annotations.num_queries, 0)
    boxes = annotations.box_splits, annotations.bboxes, np.ones(len(rows))
    file = tmp_path / 'p.npz'
    save_predictions(file, SearchPredictions(annotations.image_names, *boxes, rows, queries))
    return [model[0][0], file, '--cfg-options', f'test_dataloader.dataset.data_root={root}']


def test_calibrate_by_a_labelled_data_set(labelled, crowd, load_tool, capsys):
    calibrate(load_tool, *labelled)
    printed = capsys.readouterr().out
    assert 'pairs of strangers, 24 people' in printed and 'same person' in printed
    assert 'kept nowhere' in printed
    calibrate(load_tool, *labelled, '--gallery', crowd)
    kept = Gallery.open(crowd, create=False).calibration
    assert (kept.source, kept.people) == ('labelled', 24)
    assert kept.found is not None


def test_check_a_calibration(labelled, load_tool, capsys):
    calibrate(load_tool, *labelled, '--check', '3')
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith('labels  1 in 10 ') and lines[1].endswith('of 3')
    assert any(line.startswith('frames  ') for line in lines)
    assert 'have a right hit above the line' in lines[-2]
    assert 'a person who is not' in lines[-1]


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        ([], '--gallery is needed'),
        (['config.py'], 'CONFIG needs PREDICTIONS'),
        (['c.py', 'p.npz', '--gallery', 'g', '--marks', 'm.json'], 'two ways'),
        (['c.py', 'p.npz', '--out', 'c.json'], '--gallery is needed'),
        (['--gallery', 'g', '--check'], '--check N needs CONFIG'),
        (['c.py', 'p.npz', '--check', '0'], 'an N of 1 at least'),
    ],
)
def test_calibrate_asks_for_what_it_needs(load_tool, capsys, arguments, problem):
    with pytest.raises(SystemExit):
        calibrate(load_tool, *arguments)
    assert problem in capsys.readouterr().err


def test_calibrate_names_what_is_wrong(model, gallery, load_tool, tmp_path):
    with pytest.raises(UserError, match='there is no gallery'):
        calibrate(load_tool, '--gallery', tmp_path / 'no.lance')
    with pytest.raises(UserError, match=r'no\.json: there is no such file'):
        calibrate(load_tool, '--gallery', gallery, '--marks', tmp_path / 'no.json')
    with pytest.raises(UserError, match=r'config no\.py does not exist'):
        calibrate(load_tool, 'no.py', 'p.npz', '--gallery', gallery)
