"""A data set of seven images in CUHK-SYSU's files, whose contents are computed by hand."""

from __future__ import annotations

from pathlib import Path

from mmps.formats.cuhk_sysu import CUHKSYSUFiles, Entry, Search, write_cuhk_sysu
from mmps.formats.scene_index import SceneIndex

PEOPLE = {
    's4.jpg': [(1, 1, 5, 5), (2, 2, 0, 9), (3, 3, 9, 0)],
    # every value fits into a byte, the right edge of the first box (330) does not
    's1.jpg': [(250, 10, 80, 90), (1, 2, 3, 4)],
    's10.jpg': [(5, 6, 7, 8)],
    's2.jpg': [(300, 20, 30, 40), (0, 0, 9, 9)],
    's3.jpg': [(10, 10, 20, 30), (50, 60, 70, 80), (10, 10, 20, 30)],
    's5.jpg': [(7, 7, 8, 8), (400, 5, 6, 7)],
    's6.jpg': [],
}
POOL = ['s5.jpg', 's3.jpg', 's6.jpg', 's2.jpg']
TRAIN = [
    [Entry('s10.jpg', (5, 6, 7, 8)), Entry('s1.jpg', (250, 10, 80, 90))],
    [Entry('s4.jpg', (1, 1, 5, 5))],
]
FIRST = Entry('s5.jpg', (400, 5, 6, 7))
SECOND = Entry('s3.jpg', (50, 60, 70, 80))
SEARCHES = [
    Search('p9', FIRST, [Entry('s3.jpg', (10, 10, 20, 30)), Entry('s6.jpg'), Entry('s2.jpg')]),
    Search('p7', SECOND, [Entry('s2.jpg', (300, 20, 30, 40)), Entry('s5.jpg'), Entry('s5.jpg')]),
]


def write(root: Path) -> Path:
    """Write it, with galleries of 50 and 100."""
    protocols = {50: SEARCHES, 100: SEARCHES}
    write_cuhk_sysu(root, people=PEOPLE, pool=POOL, identities=TRAIN, protocols=protocols)
    return root


def read(root: Path, test_mode: bool = True, **options: object) -> SceneIndex:
    """What is read of one split."""
    return CUHKSYSUFiles(root, test_mode, **options).read()
