import copy
from functools import partial

import pytest
import torch
from helpers.slim_person_search import build, losses, predict

from mmps.testing.scenes import random_scenes


@pytest.fixture
def compiled(monkeypatch):
    """The slim network, compiled as far as Python goes: no kernels are made."""
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, 'compile', partial(torch.compile, backend=backend))
    yield build(model__compile_networks=True)
    assert graphs
    torch.compiler.reset()


def test_compiled_networks_compute_the_same(compiled):
    plain = build()
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    plain.load_state_dict(compiled.state_dict())
    scenes = random_scenes([[0, 1, -1], [2]])
    expected, found = (predict(model, scenes) for model in (plain, compiled))
    for one, other in zip(expected, found, strict=True):
        for key in ('bboxes', 'scores', 'embeddings'):
            torch.testing.assert_close(one.pred_instances[key], other.pred_instances[key])


def test_compiled_networks_train_and_are_copied(compiled):
    total, _ = compiled.parse_losses(losses(compiled.train(), [[0, 1, -1], [2]]))
    total.backward()
    assert all(p.grad is not None for p in compiled.parameters())
    copied = copy.deepcopy(compiled).eval()
    compiled.backbone.register_forward_hook(lambda *_: pytest.fail('not a copy'))
    predict(copied, random_scenes([[0]]))
