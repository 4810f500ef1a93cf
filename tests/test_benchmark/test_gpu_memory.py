import argparse

import pytest
import torch

from mmps.benchmark import training
from mmps.benchmark.gpu_memory import layers_of_a_gpu, peak_of_tensors
from mmps.models.backbones.densenet import DenseBlock
from mmps.utils.errors import UserError


def test_the_peak_of_what_is_alive_at_once():
    def step():
        first = torch.zeros(2**20)
        second = first + 1
        del first
        return torch.cat([second, second])

    # the second and the two at the end; two at the beginning are less
    assert peak_of_tensors(step) == pytest.approx(3 * 4, abs=0.1)


def test_layers_of_a_gpu_keep_the_activations_of_each_layer():
    block = DenseBlock(8, 4, 8).eval()
    x = torch.randn(2, 8, 64, 64, requires_grad=True)
    kept = peak_of_tensors(lambda: block(x).sum().backward())
    result = block(x)
    with layers_of_a_gpu():
        torch.testing.assert_close(block(x), result)
        assert peak_of_tensors(lambda: block(x).sum().backward()) > 1.2 * kept


def test_it_is_an_option_of_the_benchmark(slim_config):
    parser = argparse.ArgumentParser()
    training.add_arguments(parser)
    few = [str(slim_config), '--size=160x96', '--gpu-memory']
    one, two = (
        training.run(parser.parse_args([*few, f'--batch={batch}']))[0].value for batch in (1, 2)
    )
    assert 0 < one < two < 1000
    with pytest.raises(UserError, match='--gpu-memory: counts on a CPU'):
        training.run(parser.parse_args([*few, '--device=cuda']))
