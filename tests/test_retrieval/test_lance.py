"""What galleries on disk have to withstand."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from helpers.galleries import DIM, damages, fill_gallery, model_tag, random_frame

from mmps.retrieval import (
    DamagedGalleryError,
    Gallery,
    GalleryError,
    ModelMismatchError,
    Where,
)
from mmps.retrieval.engines import lance

QUERY = np.eye(DIM, dtype=np.float32)[:2]


def files(folder):
    return sorted(path for path in folder.rglob('*') if path.is_file())


def bytes_of(folder):
    return b''.join(path.read_bytes() for path in files(folder))


def answers(folder):
    gallery = Gallery.open(folder)
    return gallery.search(QUERY, 100), gallery.known(), gallery.model


def test_another_model_is_refused(folder):
    fill_gallery(folder, 1)
    with pytest.raises(
        ModelMismatchError, match=r'was made by model abc \(abc, 16-d\), but this is'
    ):
        Gallery.open(folder, model_tag(DIM, 'def'))
    with pytest.raises(ModelMismatchError, match='17-d'):
        Gallery.open(folder, model_tag(17))
    assert Gallery.open(folder).model == model_tag(DIM)


def test_a_missing_gallery_is_not_made_by_looking_for_it(folder):
    for options in ({}, {'model': model_tag(DIM), 'create': False}):
        with pytest.raises(GalleryError, match='there is no gallery'):
            Gallery.open(folder, **options)
    assert not folder.parent.exists() or not any(folder.parent.iterdir())


def test_a_folder_holds_a_table(tmp_path):
    fill_gallery(tmp_path / 'somewhere', 1)
    assert (tmp_path / 'somewhere/people.lance').is_dir()
    assert len(Gallery.open(str(tmp_path / 'somewhere') + '/')) == 15


def test_damage_of_any_file_is_refused_with_its_name_or_does_not_matter(folder, monkeypatch):
    monkeypatch.setattr(lance, 'CACHED', 0)
    gallery = fill_gallery(folder)
    gallery.delete_source('secret2.mp4')
    gallery.build_index()
    fresh = np.random.default_rng(5)
    gallery.append([random_frame(fresh, name, 2, DIM) for name in ('secret1.mp4', 'more.jpg')])
    right = answers(folder)
    rng = random.Random(0)
    refused = set()
    kinds = {
        path.name if path.suffix == '.json' else path.relative_to(folder).parts[0]: path
        for path in files(folder)
    }
    for kind in sorted(kinds.keys() - {'mmps_cache', 'mmps_lock', 'current.json'}):
        raw = kinds[kind].read_bytes()
        for damaged in damages(kinds[kind], rng):
            kinds[kind].unlink() if damaged is None else kinds[kind].write_bytes(damaged)
            try:
                assert answers(folder) == right, kind
            except DamagedGalleryError as error:
                assert str(kinds[kind]) in str(error)
                refused.add(kind)
        kinds[kind].write_bytes(raw)
    assert answers(folder) == right
    assert 'latest_version_hint.json' in kinds
    assert refused == {
        '_deletions',
        '_indices',
        '_transactions',
        '_versions',
        'data',
        'mmps_seals.txt',
    }


def test_a_damaged_gallery_is_not_changed_either(folder):
    gallery = fill_gallery(folder)
    max(folder.glob('data/*'), key=os.path.getmtime).unlink()
    with pytest.raises(DamagedGalleryError, match='missing; restore it'):
        gallery.append([random_frame(np.random.default_rng(0), 'x', 1, DIM)])
    with pytest.raises(DamagedGalleryError, match='missing; restore it'):
        gallery.compact()


def test_a_table_that_is_no_gallery(folder):
    import lancedb

    lancedb.connect(folder.parent).create_table('people', [{'a': 1}])
    with pytest.raises(DamagedGalleryError, match='mmps_seals.txt: missing'):
        Gallery.open(folder, model_tag(DIM))


@pytest.mark.parametrize('by', ['source', 'id', 'replacement', 'update'])
def test_what_was_deleted_is_gone_from_disk_after_compaction(folder, by, monkeypatch):
    monkeypatch.setattr(lance, 'CACHED', 0)
    gallery = fill_gallery(folder)
    gallery.update(Where(sources=['secret1.mp4']), camera='hidden camera')
    gallery.build_index()
    hits = gallery.search(QUERY[0], 15, Where(sources=['secret1.mp4']))[0]
    vectors = [row.tobytes() for row in gallery.embeddings_of([hit.id for hit in hits])]
    assert all(vector in bytes_of(folder) for vector in vectors)
    if by == 'source':
        gallery.delete_source('secret1.mp4')
    elif by == 'id':
        gallery.delete([hit.id for hit in hits])
    elif by == 'update':
        gallery.update(Where(), camera='other')
    else:
        fresh = np.random.default_rng(9)
        gallery.append([random_frame(fresh, 'secret1.mp4', 1, DIM, frame=f) for f in range(3)])
    gallery.search(QUERY)
    gallery.compact()
    left = bytes_of(folder)
    assert (b'hidden camera' in left) == (by == 'id')  # whose frames stay known
    assert not any(vector in left for vector in vectors) or by == 'update'
    assert (b'secret1' in left) == (by != 'source')
    assert len(list(folder.glob('_versions/*.manifest'))) <= 2  # the last one, and its index
    assert gallery.recall(5, 5) > 0


def test_dropped_is_gone(folder):
    fill_gallery(folder).drop()
    assert not folder.exists()
    with pytest.raises(GalleryError, match='no gallery'):
        Gallery.open(folder)


def test_what_the_engine_remembers_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(lance, 'SESSION', dict.fromkeys(lance.SESSION, 2**16))
    gallery, rng = Gallery.open(folder, model_tag(DIM)), np.random.default_rng(0)
    for number in range(60):
        gallery.append([random_frame(rng, f'{number}', 1, DIM)])
    assert 0 < gallery._engine._session.size_bytes <= 2 * 2**16


def test_the_table_compacts_itself(folder, monkeypatch):
    monkeypatch.setattr(lance, 'VERSIONS', 5)
    gallery = fill_gallery(folder, 12)
    assert len(list(folder.glob('data/*'))) <= 5
    assert len(gallery) == 12 * 15


def test_no_lancedb(folder, monkeypatch):
    import sys

    from mmps.utils.errors import UserError

    monkeypatch.setitem(sys.modules, 'lancedb', None)
    with pytest.raises(UserError, match=r"lancedb is not installed: pip install 'mmps\[gallery\]'"):
        Gallery.open(folder, model_tag(DIM))
    assert Path(folder).parent.exists()
