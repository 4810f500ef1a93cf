import copy

import pytest
import torch

from mmps.models.backbones import (
    DenseNet,
    DenseNetIdentification,
    GoogLeNet,
    GoogLeNetIdentification,
)


def slim_stem(**kwargs):
    return DenseNet((2, 2, 2), 4, 0.5, 8, **kwargs)


CASES = {
    'stem': (slim_stem, (3, 64, 64), {}),
    'frozen stages': (slim_stem, (3, 64, 64), dict(frozen_stages=2)),
    'fixed norms': (slim_stem, (3, 64, 64), dict(norm_eval=True)),
    'second map': (slim_stem, (3, 64, 64), dict(fine_block=2)),
    'identification': (lambda **k: DenseNetIdentification(8, 2, 4, **k), (8, 4, 4), {}),
    'GoogLeNet': (lambda **k: GoogLeNet(0.1, **k), (3, 64, 64), dict(frozen_stages=1)),
    'GoogLeNet identification': (lambda **k: GoogLeNetIdentification(8, 0.1, **k), (8, 3, 3), {}),
}


def step(module, x):
    out = module.train()(x)
    sum(o.square().mean() for o in (out if isinstance(out, tuple) else (out,))).backward()
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize('case', CASES)
def test_same_gradients_and_statistics_once(case):
    build, shape, options = CASES[case]
    plain = build(**options)
    saving = build(**options, with_cp=True)
    saving.load_state_dict(copy.deepcopy(plain.state_dict()))
    x = torch.randn(2, *shape)
    expected, found = step(plain, x), step(saving, x)
    assert found.keys() == expected.keys() and found
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad)
    for (name, buffer), kept in zip(plain.named_buffers(), saving.buffers(), strict=True):
        assert torch.equal(buffer, kept), name


def test_keeps_less():
    def kept(with_cp):
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.update({t.data_ptr(): t.numel()}) or t, lambda t: t
        ):
            slim_stem(with_cp=with_cp).train()(torch.randn(1, 3, 128, 128))
        return sum(sizes.values())

    assert kept(True) < kept(False) / 3
