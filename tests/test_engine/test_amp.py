import pytest
import torch
from mmengine.config import Config

from mmps.engine import amp
from mmps.utils.errors import UserError


def config(**optim_wrapper):
    return Config(dict(optim_wrapper=dict(optimizer=dict(lr=1), **optim_wrapper)))


@pytest.fixture
def machine(monkeypatch):
    def has(gpu, bfloat16):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
        monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda **kwargs: bfloat16)
        monkeypatch.setattr(amp, 'cpu_has_bfloat16', lambda: bfloat16)

    return has


def test_float16_is_for_gpus(machine):
    machine(gpu=False, bfloat16=True)
    with pytest.raises(UserError, match='--amp float16 needs a GPU'):
        amp.set_amp(config(), 'float16')
    machine(gpu=True, bfloat16=False)
    changed = config(type='OptimWrapper')
    amp.set_amp(changed, 'float16')
    assert changed.optim_wrapper == dict(
        type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic', optimizer=dict(lr=1)
    )


@pytest.mark.parametrize('gpu', [True, False])
def test_bfloat16_where_the_machine_has_it(machine, gpu):
    machine(gpu=gpu, bfloat16=False)
    with pytest.raises(UserError, match=f'this {"GPU" if gpu else "CPU"} does not'):
        amp.set_amp(config(), 'bfloat16')
    machine(gpu=gpu, bfloat16=True)
    changed = config(type='AmpOptimWrapper', loss_scale=512.0)
    amp.set_amp(changed, 'bfloat16')
    assert changed.optim_wrapper == dict(type='BFloat16OptimWrapper', optimizer=dict(lr=1))


@pytest.mark.parametrize('device', ['cuda:0', 'cpu'])
def test_inference_says_what_it_computes_in(machine, device):
    machine(gpu=True, bfloat16=False)
    assert amp.inference_precision('auto', device) == 'float32'
    with pytest.raises(UserError, match=f'this {"GPU" if device != "cpu" else "CPU"} does not'):
        amp.inference_precision('bfloat16', device)
    machine(gpu=True, bfloat16=True)
    assert amp.inference_precision(None, device) == 'float32'
    assert amp.inference_precision('auto', device) == 'bfloat16'
    assert amp.inference_precision('auto', 'mps') == 'float32'


def test_another_wrapper_is_refused(machine):
    machine(gpu=True, bfloat16=True)
    with pytest.raises(UserError, match='optim_wrapper.type=ApexOptimWrapper'):
        amp.set_amp(config(type='ApexOptimWrapper'), 'float16')


@pytest.mark.parametrize(
    ('text', 'has'),
    [
        ('model name\t: EPYC\nflags\t\t: fpu avx2 avx512f\n', False),
        ('model name\t: EPYC\nflags\t\t: fpu avx512f avx512_bf16\n', True),
        ('flags\t\t: fpu amx_bf16 amx_tile\n', True),
        ('Features\t: fp asimd bf16 sve\n', True),
        ('bugs\t\t: bf16\n', False),
    ],
)
def test_what_a_cpu_has(tmp_path, text, has):
    (tmp_path / 'cpuinfo').write_text(text)
    assert amp.cpu_has_bfloat16(tmp_path / 'cpuinfo') is has
    assert amp.cpu_has_bfloat16(tmp_path / 'none') is False
