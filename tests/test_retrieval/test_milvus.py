import importlib
import logging
import sys

from mmps.retrieval.engines.milvus import _logs_kept_open


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
