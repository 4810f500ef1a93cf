import argparse

from mmps.benchmark import runtimes


def test_every_form_of_a_model_is_timed(slim_config):
    parser = argparse.ArgumentParser()
    runtimes.add_arguments(parser)
    words = [slim_config, '--size=128x96', '--repeats=2', '--threads=1', '--int8']
    measured = runtimes.run(parser.parse_args(words))
    names = ['PyTorch', 'PyTorch, layers written plainly']
    names += [f'{name}{form}' for name in ('ONNX Runtime', 'OpenVINO') for form in ('', ', int8')]
    assert list(dict.fromkeys(one.stage for one in measured)) == names
    found = {(one.stage, one.name): one.value for one in measured}
    assert found['PyTorch', 'times as fast as PyTorch'] == 1
    for name in names:
        assert 0 < found[name, 'least'] <= found[name, 'time per image']
        # no ratio of two rounds is larger than that of the slower to the faster half of them all
        slowest = 2 * found['PyTorch', 'time per image'] / found[name, 'least']
        assert 0 < found[name, 'times as fast as PyTorch'] <= slowest
