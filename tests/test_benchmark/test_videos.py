import argparse

from mmps.benchmark import videos


def test_both_readers_read_the_video_that_was_written(tmp_path):
    parser = argparse.ArgumentParser()
    videos.add_arguments(parser)
    words = ['--minutes=0.05', '--size=160x96', '--fps=5', '--repeats=1', '--seeks=2']
    measured = videos.run(parser.parse_args([str(tmp_path / 'new.mp4'), *words]))
    found = {(one.stage, one.name): one.value for one in measured}
    assert found['', 'frames'] == 75
    for reader in ('mmps', 'opencv'):
        assert found[reader, 'taken'] == 15
        assert found[reader, 'best'] > 0
        assert found[f'{reader}, one', 'median'] > 0
