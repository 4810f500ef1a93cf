import logging
import sys

from mmps.retrieval import Gallery
from mmps.testing.galleries import model_tag


def test_log_files_of_others_stay_open(milvus_server, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'pymilvus']:
        monkeypatch.delitem(sys.modules, name)
    handler = logging.FileHandler(tmp_path / 'train.log', mode='w')
    logger = logging.getLogger('somebody else')
    logger.addHandler(handler)
    try:
        Gallery.open(f'milvus://{milvus_server}/logged', model_tag(4))
        assert handler.stream is not None
        logger.warning('still there')
        assert 'still there' in (tmp_path / 'train.log').read_text()
    finally:
        logger.removeHandler(handler)
        handler.close()
