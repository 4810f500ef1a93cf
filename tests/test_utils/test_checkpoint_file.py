"""A checkpoint that would run something is refused, wherever it comes from, and runs nothing."""

import functools
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, checkpoint
from mmps.utils.checkpoint_file import CheckpointError, read_checkpoint

from mmps.models.backbones import DenseNet, DenseNetIdentification
from mmps.models.pretrained import load_imagenet_weights
from mmps.utils.checkpoint import load_state_dict


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.folder),)


@pytest.fixture
def malicious(tmp_path):
    path = tmp_path / 'malicious.pth'
    weights = {'w': torch.zeros(3)}
    torch.save({'state_dict': weights, 'meta': Payload(tmp_path / 'executed')}, path)
    yield path
    assert not (tmp_path / 'executed').exists()


def imagenet(path):
    load_imagenet_weights(DenseNet(), DenseNetIdentification(), path)


READERS = {
    'the reader': read_checkpoint,
    'weights': load_state_dict,
    'mmengine, as in --resume and load_from': CheckpointLoader.load_checkpoint,
    'ImageNet weights': imagenet,
}


SCHEMES = {
    'torchvision': 'get_torchvision_models',
    'open-mmlab': 'get_external_models',
    'mmcls': 'get_mmcls_models',
}


def test_the_payload_works(malicious, tmp_path):
    """Otherwise the tests below would show nothing."""
    torch.load(malicious, weights_only=False)
    (tmp_path / 'executed').rmdir()


@pytest.mark.parametrize('reader', READERS)
def test_malicious_file_is_refused_by_name(reader, malicious):
    with pytest.raises(CheckpointError, match=r'malicious.pth is refused: to read it, \w+.mkdir'):
        READERS[reader](str(malicious))


def test_malicious_download_is_refused(malicious, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}'
        with pytest.raises(CheckpointError, match='mkdir'):
            CheckpointLoader.load_checkpoint(f'{address}/malicious.pth')
        for scheme, models in SCHEMES.items():
            monkeypatch.setattr(checkpoint, models, lambda: {'net': f'{address}/malicious.pth'})
            with pytest.raises(CheckpointError, match='mkdir'):
                CheckpointLoader.load_checkpoint(f'{scheme}://net')
        torch.save({'w': torch.ones(2)}, tmp_path / 'good.pth')
        assert torch.equal(load_state_dict(f'{address}/good.pth')['w'], torch.ones(2))
        (tmp_path / 'good.pth').rename(tmp_path / 'net-01234567.pth')
        with pytest.raises(RuntimeError, match='invalid hash value'):
            CheckpointLoader.load_checkpoint(f'{address}/net-01234567.pth')
        server.shutdown()
    assert sorted(p.name for p in (tmp_path / 'hub/checkpoints').iterdir()) == [
        'good.pth',
        'malicious.pth',
    ]


def test_a_malicious_file_in_a_store_is_refused(malicious, monkeypatch):
    class Store:
        def get(self, address):
            assert address == 's3://bucket/malicious.pth'
            return malicious.read_bytes()

    monkeypatch.setattr(checkpoint, 'get_file_backend', lambda *_, **__: Store())
    with pytest.raises(CheckpointError, match=r'from a store is refused: .*mkdir'):
        CheckpointLoader.load_checkpoint('s3://bucket/malicious.pth')


def log_state():
    return {
        'buffer': HistoryBuffer([1.5, 2.5], [1, 1]),
        'scalars': [np.float64(0.25), np.float32(0.5), np.int64(3), np.bool_(True)],
        'array': np.arange(3),
    }


def check_log_state(state):
    assert state['buffer'].data[0].tolist() == [1.5, 2.5]
    assert state['scalars'] == [0.25, 0.5, 3, True]
    assert state['array'].tolist() == [0, 1, 2]


def test_what_mmengine_keeps_of_the_log_is_read(tmp_path):
    torch.save(log_state(), tmp_path / 'log.pth')
    check_log_state(read_checkpoint(tmp_path / 'log.pth'))


def test_files_written_beside_another_numpy_are_read(tmp_path):
    """NumPy 2 renamed the package that its pickles name."""
    torch.save(log_state(), tmp_path / 'new.pth')
    with (
        zipfile.ZipFile(tmp_path / 'new.pth') as new,
        zipfile.ZipFile(tmp_path / 'old.pth', 'w') as old,
    ):
        for name in new.namelist():
            content = new.read(name)
            assert not name.endswith('data.pkl') or b'numpy._core' in content
            old.writestr(name, content.replace(b'numpy._core', b'numpy.core'))
    check_log_state(read_checkpoint(tmp_path / 'old.pth'))


def test_any_other_class_is_named(tmp_path):
    torch.save({'state_dict': {}, 'path': tmp_path}, tmp_path / 'path.pth')
    with pytest.raises(CheckpointError, match=r'path.pth is refused.*pathlib.\w*Path'):
        read_checkpoint(tmp_path / 'path.pth')


class Reach:
    """Unpickled, an attribute of an allowed class."""

    def __reduce__(self):
        return getattr, (np.ndarray, 'tofile')


def test_the_log_cannot_bring_functions_of_its_own(tmp_path):
    """mmengine's allow-list lets a file replace the log's mean by what it reaches so."""
    buffer = HistoryBuffer([1.0], [1])
    buffer.__dict__['_statistics_methods'] = {'mean': Reach()}
    torch.save({'message_hub': buffer}, tmp_path / 'log.pth')
    with pytest.raises(CheckpointError, match=r'log.pth is refused.*getattr\(.*ndarray.*tofile'):
        read_checkpoint(tmp_path / 'log.pth')
