import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmps.apis import PersonSearcher
from mmps.apis.network import TorchNetwork, build_model
from mmps.apis.preprocessing import as_scene, model_tag, scene_size
from mmps.apis.preprocessing import test_steps as steps_of
from mmps.engine import amp
from mmps.evaluation.functional import load_predictions
from mmps.evaluation.functional.search import top_matches
from mmps.retrieval import Gallery, ModelMismatchError, Where
from mmps.sources import read_image
from mmps.utils.checkpoint import CheckpointError
from mmps.utils.errors import UserError


@pytest.fixture(scope='module', autouse=True)
def _scope_of_modules():
    init_default_scope('mmps')


@pytest.fixture(scope='module')
def tested(tiny_model, tmp_path_factory):
    """Predictions of the test loop, and the test set."""
    config_file, checkpoint, _ = tiny_model
    folder = tmp_path_factory.mktemp('tested')
    config = Config.fromfile(config_file)
    config.work_dir, config.load_from = str(folder), str(checkpoint)
    config.test_evaluator.update(out=str(folder / 'p.npz'), score_thr=0.0)
    runner = Runner.from_cfg(config)
    runner.test()
    dataset = runner.test_dataloader.dataset
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    return load_predictions(folder / 'p.npz'), dataset.search_annotations, paths


@pytest.fixture(scope='module')
def searcher(tiny_model):
    return PersonSearcher(*tiny_model[:2], score_thr=0.0)


def test_people_are_those_of_the_test_loop_to_the_last_bit(searcher, tested):
    predictions, _, paths = tested
    found = list(searcher.detect(paths))
    assert [len(people) for people in found] == np.diff(predictions.image_splits).tolist()
    for key in ('bboxes', 'scores', 'embeddings'):
        ours = np.concatenate([getattr(people, key) for people in found])
        np.testing.assert_array_equal(ours, getattr(predictions, key))
    assert len(predictions.bboxes) > 5


def test_prepared_images_give_the_same(searcher, tested):
    _, _, paths = tested
    images = [read_image(path) for path in paths[:2]]
    network = searcher.network
    assert all(network.prepare(image) is image for image in images)  # nothing to gain on a CPU
    prepared = [network.preprocessing.prepare(image) for image in images]
    for one, other in zip(network(images), network(prepared), strict=True):
        for key in ('bboxes', 'scores', 'embeddings'):
            np.testing.assert_array_equal(getattr(one, key), getattr(other, key))


def test_bfloat16_finds_nearly_the_same_people(searcher, tiny_model, tested, monkeypatch):
    _, _, paths = tested
    image = read_image(paths[0])
    (full,) = searcher.network([image])
    monkeypatch.setattr(amp, 'cpu_has_bfloat16', lambda: True)
    half = PersonSearcher(*tiny_model[:2], 'cpu', score_thr=0.0, amp='auto')
    assert (half.network.precision, half.tag) == ('bfloat16', searcher.tag)
    embeddings = half.embed(image, full.bboxes)
    cosines = (embeddings * full.embeddings).sum(1)
    assert 0.99 < cosines.min() < 0.999999
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert len(half.detect(image)) > 0

    monkeypatch.setattr(amp, 'cpu_has_bfloat16', lambda: False)
    plain = PersonSearcher(*tiny_model[:2], 'cpu', score_thr=0.0, amp='auto')
    assert plain.network.precision == 'float32'
    np.testing.assert_array_equal(plain.detect(image).embeddings, full.embeddings)
    with pytest.raises(UserError, match='--amp bfloat16: this CPU does not'):
        PersonSearcher(*tiny_model[:2], 'cpu', amp='bfloat16')
    with pytest.raises(ValueError, match='there are auto, bfloat16'):
        PersonSearcher(*tiny_model[:2], amp='float8')


def query_embeddings(searcher, annotations, paths):
    """Of all queries, in batches like those of the test loop."""
    rows = np.zeros((annotations.num_queries, searcher.tag.embed_dim), np.float32)
    for start in range(0, len(paths), 2):
        images = range(start, min(start + 2, len(paths)))
        queries = [np.flatnonzero(annotations.query_images == image) for image in images]
        boxes = [annotations.query_bboxes[chosen] for chosen in queries]
        people = searcher.network([read_image(paths[image]) for image in images], boxes)
        for chosen, embedded in zip(queries, people, strict=True):
            rows[chosen] = embedded.embeddings
            np.testing.assert_array_equal(embedded.scores, np.ones(len(chosen)))
    return rows


def test_rankings_are_those_of_the_metric(searcher, tested, tmp_path):
    predictions, annotations, paths = tested
    embeddings = query_embeddings(searcher, annotations, paths)
    np.testing.assert_array_equal(embeddings, predictions.query_embeddings)
    gallery = Gallery.open(tmp_path / 'people.lance', searcher.tag)
    assert not searcher.index(paths, gallery, progress=False).problems
    queries = range(annotations.num_queries)
    rankings = top_matches(annotations, predictions, queries, 100, score_thr=0.0, gallery_size=4)
    compared = 0
    for query, ranking in zip(queries, rankings, strict=True):
        elsewhere = {path for i, path in enumerate(paths) if i != annotations.query_images[query]}
        assert {paths[match.image] for match in ranking} <= elsewhere
        where = Where(sources=[paths[i] for i in {match.image for match in ranking}])
        (hits,) = gallery.search(embeddings[query][None], 100, where)
        assert [(h.source, h.bbox) for h in hits] == [
            (paths[m.image], tuple(m.bbox.tolist())) for m in ranking
        ]
        assert [h.similarity for h in hits] == [m.similarity for m in ranking]
        compared += len(hits)
    assert compared > 20


def test_given_boxes_are_embedded_as_found_ones(searcher, tested):
    _, _, paths = tested
    image = read_image(paths[0])
    (found,) = searcher.network([image])
    embeddings = searcher.embed(paths[0], found.bboxes)
    np.testing.assert_allclose(embeddings, found.embeddings, atol=1e-5)
    assert searcher.embed(paths[0], []).shape == (0, searcher.tag.embed_dim)


def test_no_images(searcher):
    assert searcher.network([]) == []


def changed(config_file, checkpoint, folder, **options):
    """The tag of a model whose config differs."""
    config = Config.fromfile(config_file)
    config.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return model_tag(config, build_model(config, checkpoint), checkpoint)


@pytest.mark.parametrize(
    'options',
    [
        dict(model__test_cfg__rcnn__score_thr=0.3),
        dict(model__roi_head__reid_head__num_ids=77),
        dict(model__roi_head__reid_head__loss__scalar=5.0),
        dict(model__train_cfg__rcnn__sampler__num=3),
        dict(test_dataloader__batch_size=7),
    ],
    ids=lambda options: next(iter(options)),
)
def test_the_tag_is_of_what_is_computed(searcher, tiny_model, tmp_path, options):
    assert changed(*tiny_model[:2], tmp_path, **options).fingerprint == searcher.tag.fingerprint


@pytest.mark.parametrize(
    'options',
    [
        dict(model__data_preprocessor__mean=[1.0, 2.0, 3.0]),
        dict(model__roi_head__bbox_roi_extractor__roi_layer__sampling_ratio=1),
    ],
    ids=lambda options: next(iter(options)),
)
def test_another_computation_has_another_tag(searcher, tiny_model, tmp_path, options):
    assert changed(*tiny_model[:2], tmp_path, **options).fingerprint != searcher.tag.fingerprint


def test_other_sizes_and_weights_have_other_tags(searcher, tiny_model, tmp_path):
    config = Config.fromfile(tiny_model[0])
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.scale = (80, 60)
    model = build_model(config, tiny_model[1])
    assert model_tag(config, model, 'x').fingerprint != searcher.tag.fingerprint
    state = torch.load(tiny_model[1], weights_only=True)['state_dict']
    tables = [name for name in state if name.endswith('.lut')]
    assert len(tables) == 1
    state[tables[0]] += 1
    torch.save(state, tmp_path / 'table.pth')
    assert TorchNetwork(tiny_model[0], tmp_path / 'table.pth').tag == searcher.tag.__class__(
        searcher.tag.fingerprint, searcher.tag.embed_dim, 'tiny, table.pth'
    )
    state[next(name for name in state if name.startswith('backbone'))] += 1
    torch.save(state, tmp_path / 'weights.pth')
    other = TorchNetwork(tiny_model[0], tmp_path / 'weights.pth').tag
    assert other.fingerprint != searcher.tag.fingerprint
    Gallery.open(tmp_path / 'g.lance', searcher.tag)
    with pytest.raises(ModelMismatchError, match=r'tiny\.pth'):
        Gallery.open(tmp_path / 'g.lance', other)


def test_what_is_not_a_model_is_named(tiny_model, tmp_path):
    config, checkpoint, _ = tiny_model
    with pytest.raises(FileNotFoundError, match=r'gone\.pth'):
        PersonSearcher(config, tmp_path / 'gone.pth')
    with pytest.raises(UserError, match=r'gone\.py'):
        PersonSearcher(tmp_path / 'gone.py', checkpoint)
    torch.save({'state_dict': {'conv.weight': torch.zeros(3)}}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=r'other\.pth is of another model'):
        PersonSearcher(config, tmp_path / 'other.pth')
    (tmp_path / 'no_model.py').write_text('x = 1\n')
    with pytest.raises(UserError, match=r'no_model\.py has no model, test_dataloader'):
        PersonSearcher(tmp_path / 'no_model.py', checkpoint)
    with pytest.raises(ValueError, match="backend='tpu': there are torch, onnxruntime"):
        PersonSearcher(config, checkpoint, backend='tpu')


def test_pipelines_that_sources_do_not_follow_are_refused(tiny_model):
    config = Config.fromfile(tiny_model[0])
    assert [step['type'] for step in steps_of(config)] == ['Resize']
    config.test_dataloader.dataset.pipeline[0].color_type = 'grayscale'
    with pytest.raises(UserError, match="LoadSceneImage has color_type='grayscale'"):
        steps_of(config)
    config.test_dataloader.dataset.pipeline = config.test_dataloader.dataset.pipeline[1:]
    with pytest.raises(UserError, match='begins with Resize, no loader'):
        steps_of(config)
    config.test_dataloader.dataset.pipeline = []
    with pytest.raises(UserError, match=r'no test_dataloader\.dataset\.pipeline'):
        steps_of(config)


def test_a_checkpoint_alone_is_enough(searcher, tiny_model, tmp_path):
    config, checkpoint, root = tiny_model
    content = torch.load(checkpoint)
    content['meta'] = dict(cfg=Config.fromfile(config).pretty_text)
    torch.save(content, tmp_path / 'epoch_1.pth')
    alone = PersonSearcher(tmp_path / 'epoch_1.pth', score_thr=0.0)
    assert (alone.tag.fingerprint, alone.tag.name) == (searcher.tag.fingerprint, 'epoch_1')
    image = read_image(next(root.glob('frames/*.jpg')))
    assert np.array_equal(alone.detect(image).embeddings, searcher.detect(image).embeddings)
    with pytest.raises(UserError, match='tiny.pth holds no config: give its config file too'):
        PersonSearcher(checkpoint)


def test_a_cut_out_is_looked_at_as_large_as_people_in_scenes(searcher, tested):
    _, _, paths = tested
    cut = read_image(paths[0])[10:50, 20:40]
    width, height = searcher.network.scene_size
    scene, (left, top, right, bottom) = as_scene(cut, (width, height))
    assert scene.shape == (height, width, 3)
    assert bottom - top == round(0.4 * height) and right - left == round(0.4 * height / 2)
    edge = np.concatenate([cut[0], cut[-1], cut[:, 0], cut[:, -1]]).mean(0)
    np.testing.assert_allclose(scene[0, 0], edge, atol=12)  # of the enlarged picture
    assert abs(left + right - width) <= 1 and abs(top + bottom - height) <= 1
    query = searcher.query(cut, 'whole')
    expected = searcher.embed(scene, [(left, top, right, bottom)])[0]
    np.testing.assert_array_equal(query.embedding, expected)
    np.testing.assert_array_equal(query.bbox, [0, 0, 20, 40])
    with pytest.raises(ValueError, match="'half'"):
        searcher.query(cut, 'half')


def test_a_wide_cut_out_fits_and_any_size_may_do():
    cut = np.full((10, 100, 3), 7, np.uint8)
    scene, (left, _, right, _) = as_scene(cut, (40, 30))
    assert (left, right) == (0, 40) and (scene == 7).all()
    same, box = as_scene(cut, None)
    assert same is cut and box == (0, 0, 100, 10)


def test_where_the_size_of_a_person_does_not_matter():
    config = Config.fromfile('configs/ps_densenet121_cuhk03.py')
    assert scene_size(config) is None
    assert scene_size(Config.fromfile('configs/ps_densenet121_prw.py')) == (1500, 900)
