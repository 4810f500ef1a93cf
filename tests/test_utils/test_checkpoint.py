"""Checkpoints that fit, and such that would run something: these are refused and run nothing."""

import functools
import os
import pickle
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, checkpoint
from torch import nn

from mmps.models.backbones import DenseNet, DenseNetIdentification
from mmps.models.losses import OIMLoss
from mmps.models.pretrained import load_imagenet_weights
from mmps.utils.checkpoint import (
    CheckpointError,
    check_state_dict,
    load_state_dict,
    newest_checkpoint,
    read_checkpoint,
)


def save(path, content=None):
    torch.save(content if content is not None else {'state_dict': {'w': torch.zeros(3)}}, path)
    return path


def test_no_checkpoint(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / 'not_there') is None
    save(tmp_path / 'best_search_mAP_epoch_9.pth')
    assert newest_checkpoint(tmp_path) is None


def test_newest_is_found_by_number(tmp_path):
    save(tmp_path / 'epoch_10.pth')
    save(tmp_path / 'epoch_9.pth')  # written later, and later in the order of names
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_9.pth'))
    assert newest_checkpoint(tmp_path).name == 'epoch_10.pth'


def test_a_checkpoint_cut_short_is_passed_over(tmp_path):
    save(tmp_path / 'iter_100.pth')
    whole = save(tmp_path / 'iter_200.pth').read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / 'iter_200.pth').write_bytes(whole[:length])
        assert newest_checkpoint(tmp_path).name == 'iter_100.pth', length
    (tmp_path / 'iter_200.pth').write_bytes(whole)
    assert newest_checkpoint(tmp_path).name == 'iter_200.pth'


def test_between_epochs_and_iterations_the_later_file_wins(tmp_path):
    os.utime(save(tmp_path / 'epoch_3.pth'), (100, 100))
    os.utime(save(tmp_path / 'iter_50.pth'), (200, 200))
    assert newest_checkpoint(tmp_path).name == 'iter_50.pth'
    os.utime(tmp_path / 'epoch_3.pth', (300, 300))
    assert newest_checkpoint(tmp_path).name == 'epoch_3.pth'


def test_load_state_dict_unwraps(tmp_path):
    state = {'module.a': torch.ones(2), 'b': torch.zeros(1)}
    loaded = load_state_dict(str(save(tmp_path / 'a.pth', {'state_dict': state, 'meta': {}})))
    assert loaded.keys() == {'a', 'b'}
    assert load_state_dict(str(save(tmp_path / 'bare.pth', state))).keys() == {'a', 'b'}


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', b'PK\x03\x04 cut short'])
def test_unreadable_checkpoint_names_the_file(tmp_path, content):
    path = tmp_path / 'bad.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'checkpoint .*bad.pth cannot be read, it is damaged'):
        load_state_dict(str(path))


@pytest.mark.parametrize('content', [[1, 2], {'epoch': 3}, {'state_dict': {}}])
def test_file_that_is_no_checkpoint(tmp_path, content):
    with pytest.raises(ValueError, match='is not a checkpoint'):
        load_state_dict(str(save(tmp_path / 'other.pth', content)))


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none.pth does not exist'):
        load_state_dict(str(tmp_path / 'none.pth'))


def test_weights_of_the_model_pass():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    check_state_dict(model, model.state_dict(), 'x.pth')


def test_weights_of_another_model_are_counted_and_named():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    state = model.state_dict()
    state['0.weight'] = torch.zeros(4, 5)
    del state['1.bias'], state['1.weight']
    state |= {f'head.{i}': torch.zeros(1) for i in range(5)}
    with pytest.raises(ValueError) as error:
        check_state_dict(model, state, 'x.pth')
    message = str(error.value)
    assert 'checkpoint x.pth is of another model than the config: of 7 weights' in message
    assert '2 missing (1.bias, 1.weight)' in message
    assert '5 unexpected (head.0, head.1, head.2, ...)' in message
    assert '1 of another shape (0.weight)' in message


def test_tables_of_training_identities_may_differ():
    """A model trained on one data set can be tested on another."""
    model = nn.ModuleDict({'linear': nn.Linear(3, 4), 'oim': OIMLoss(num_ids=5, embed_dim=4)})
    other = nn.ModuleDict({'linear': nn.Linear(3, 4), 'oim': OIMLoss(num_ids=9, embed_dim=4)})
    check_state_dict(model, other.state_dict(), 'x.pth')
    check_state_dict(model, other.linear.state_dict(prefix='linear.'), 'x.pth')
    other.linear = nn.Linear(2, 4)
    with pytest.raises(ValueError, match=r'1 of another shape \(linear.weight\)'):
        check_state_dict(model, other.state_dict(), 'x.pth')


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
    load_imagenet_weights(DenseNet(), [DenseNetIdentification()], path)


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


def test_the_payload_works(malicious, tmp_path, monkeypatch):
    """Otherwise the tests below would show nothing."""
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD')
    torch.load(malicious, weights_only=False)
    (tmp_path / 'executed').rmdir()


def test_nobody_in_this_process_reads_without_protection(malicious):
    with pytest.raises(pickle.UnpicklingError, match='mkdir'):
        torch.load(malicious, weights_only=False)


@pytest.mark.parametrize('reader', READERS)
def test_malicious_file_is_refused_by_name(reader, malicious):
    with pytest.raises(CheckpointError, match=r'malicious.pth is refused: to read it, \w+.mkdir'):
        READERS[reader](str(malicious))


def test_malicious_download_is_refused(malicious, tmp_path, monkeypatch):
    """mmengine has a way of its own for each of these addresses."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}'
        with pytest.raises(pickle.UnpicklingError, match='mkdir'):
            CheckpointLoader.load_checkpoint(f'{address}/malicious.pth')
        for scheme, models in SCHEMES.items():
            monkeypatch.setattr(checkpoint, models, lambda: {'net': f'{address}/malicious.pth'})
            with pytest.raises(CheckpointError, match='net is refused: to read it, .*mkdir'):
                load_state_dict(f'{scheme}://net')
        torch.save({'w': torch.ones(2)}, tmp_path / 'good.pth')
        assert torch.equal(load_state_dict(f'{address}/good.pth')['w'], torch.ones(2))
        server.shutdown()


def test_a_malicious_file_in_a_store_is_refused(malicious, monkeypatch):
    class Store:
        def get(self, address):
            assert address == 's3://bucket/malicious.pth'
            return malicious.read_bytes()

    monkeypatch.setattr(checkpoint, 'get_file_backend', lambda *_, **__: Store())
    with pytest.raises((pickle.UnpicklingError, EOFError)):  # mmengine tries it twice
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
