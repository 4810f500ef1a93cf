import pytest

from mmps.utils.errors import UserError
from mmps.utils.grid import load_grid


def test_experiments_share_seeds_and_options(grid_file):
    path = grid_file("""
        seeds = [3, 4]
        options = {'stub.score': 0.1}
        _rows = dict(a='A', b='B')
        experiments = [
            *[dict(config=f'{name}.py', row=row, column='PRW') for name, row in _rows.items()],
            dict(name='c', config='a.py', seeds=[0], options={'stub.score': 0.2}),
        ]
        """)
    a, b, c = load_grid(path).experiments
    assert (a.name, a.config, a.row, a.column) == ('a', path.parent / 'a.py', 'A', 'PRW')
    assert b.seeds == (3, 4)
    assert (c.name, c.config, c.seeds) == ('c', path.parent / 'a.py', (0,))
    assert [options['stub.score'] for options in c.options] == [0.1, 0.2]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('seeds = [0]', 'experiments is missing or empty'),
        ("experiments = [dict(name='a')]", 'experiment a of grid .*config is missing'),
        ("experiments = [dict(config='a.py', seed=0)]", 'unknown seed; known are name, config'),
        ("experiments = [dict(config='a.py')]\nexperimnets = []", 'unknown experimnets'),
        ("experiments = [dict(config='a.py'), dict(config='a.py')]", 'two experiments are named a'),
        ("experiments = [dict(config='a.py', seeds=[1, 1])]", r'seeds is \(1, 1\)'),
        ("experiments = [dict(config='a.py')]\nseeds = []", r'seeds is \(\)'),
        ("experiments = [dict(config='a.py')]\nbase = 'c'", "base is 'c', which is no experiment"),
        (
            "experiments = [dict(config='a.py')]\ntables = [dict(title='T', metric='m')]",
            'a table lacks columns, rows',
        ),
        (
            "experiments = [dict(config='a.py')]\n"
            "tables = [dict(title='T', metric='m', columns=['x'], rows=dict(r=[1, 2]))]",
            "row r of 'T' has 2 numbers for 1 columns",
        ),
    ],
)
def test_what_is_wrong_is_named(grid_file, text, message):
    with pytest.raises(UserError, match=message):
        load_grid(grid_file(text))
