import os

import pytest
import torch
from torch import nn

from mmps.models.losses import OIMLoss
from mmps.utils.checkpoint import check_state_dict, load_state_dict, newest_checkpoint


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
