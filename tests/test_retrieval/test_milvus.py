import importlib
import logging
import sys

import numpy as np
import pytest
from helpers.galleries import DIM, fill_gallery, model_tag
from helpers.milvus_server import milvus

from mmps.retrieval import DamagedGalleryError, Gallery, GalleryError, IndexedFrame, Where
from mmps.retrieval.milvus import MilvusEngine, _logs_kept_open

QUERY = np.eye(DIM, dtype=np.float32)[0]


def test_log_files_of_others_stay_open(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'pymilvus']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(logging, '_handlerList', [])  # those of other tests stay as they are
    handler = logging.FileHandler(tmp_path / 'train.log', mode='w')
    logger = logging.getLogger('somebody else')
    logger.addHandler(handler)
    try:
        with _logs_kept_open():
            importlib.import_module('pymilvus')
        logger.warning('still there')
        assert 'still there' in (tmp_path / 'train.log').read_text()
        importlib.reload(sys.modules['pymilvus.settings']).init_log('ERROR')
        assert handler.stream is None  # what it is good for
    finally:
        logger.removeHandler(handler)
        handler.close()


@pytest.fixture
def address(milvus_server, name):
    return f'milvus://{milvus_server}/c{name}'


@pytest.mark.parametrize('part', ['embedding', 'batch'])
def test_a_changed_bit_is_named_by_its_source_and_row(tmp_path, part):
    with milvus(tmp_path) as host:
        gallery = fill_gallery(f'milvus://{host}/people')
        hit = gallery.search(QUERY, 1)[0][0]
        # Pages are compressed: of numbers that begin alike only the first is there as it is.
        written = {
            'embedding': [gallery.embeddings_of([hit.id]).tobytes()],
            'batch': [
                batch.to_bytes(8, 'little')
                for batch in gallery._engine.select(None).column('batch').unique().to_pylist()
            ],
        }[part]
        gallery.compact()
    files = {file: file.read_bytes() for file in tmp_path.rglob('*.parquet')}
    written = next(one for one in written if any(one in raw for raw in files.values()))
    changed = [file for file, raw in files.items() if written in raw]
    for file in changed:
        raw = bytearray(file.read_bytes())
        if written in raw:  # else it is another name of one that was changed
            raw[raw.index(written) + 2] ^= 1
            file.write_bytes(raw)
    with milvus(tmp_path) as host:
        gallery = Gallery.open(f'milvus://{host}/people')
        with pytest.raises(DamagedGalleryError, match=r"the first of '.*mp4', frame \d, person \d"):
            gallery.search(QUERY, 60)


def test_of_a_frame_only_what_was_written_last_counts(address, monkeypatch):
    gallery = Gallery.open(address, model_tag(DIM))
    boxes, embeddings = np.zeros((3, 4)), np.eye(3, DIM)

    def frame(people, camera):
        found = boxes[:people], np.ones(people), embeddings[:people]
        return [IndexedFrame('a.jpg', (4, 4), *found, camera=camera)]

    with monkeypatch.context() as patch:  # as if it were killed before what it replaces is gone
        patch.setattr(MilvusEngine, '_delete', lambda *_: None)
        gallery.append(frame(3, 'old'))
        gallery.append(frame(2, 'new'))
    assert [hit.camera for hit in gallery.search(QUERY, 9)[0]] == ['new'] * 2
    assert gallery.search(QUERY, 9, Where(cameras=['old'])) == [[]]
    assert (len(gallery), gallery.info().cameras) == (2, ('new',))
    assert gallery.delete(Where(cameras=['new'])) == 2
    assert (len(gallery), gallery.known()) == (0, set())


def test_a_collection_of_an_earlier_version_is_refused(address):
    gallery = Gallery.open(address, model_tag(DIM))
    client, types = gallery._engine._client, gallery._engine._milvus.DataType
    client.drop_collection(gallery._engine._name)
    schema = client.create_schema()
    schema.add_field('row', types.INT64, is_primary=True)
    schema.add_field('frame_rows', types.INT64)
    schema.add_field('embedding', types.FLOAT_VECTOR, dim=4)
    index = client.prepare_index_params()
    index.add_index('embedding', index_type='FLAT', metric_type='IP')
    client.create_collection(gallery._engine._name, schema=schema, index_params=index)
    with pytest.raises(GalleryError, match='an earlier version; index again'):
        Gallery.open(address)
