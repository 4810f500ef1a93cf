from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.synthetic import ScenePlan, SyntheticConfig, plan
from mmps.synthetic.planning import appearances, look_of, with_photographs


@pytest.mark.parametrize(
    ('images', 'identities', 'queries', 'expected'),
    [(1205, 300, 0, 12), (130, 80, 400, 6), (40, 10, 0, 12), (12, 4, 10, 9), (5, 1, 0, 4)],
)
def test_appearances(images: int, identities: int, queries: int, expected: int) -> None:
    assert appearances(images, identities, queries) == expected


def test_default_set_has_the_promised_sizes() -> None:
    config = SyntheticConfig()
    scenes = plan(config)
    train, test = ([s for s in scenes if s.is_test == flag] for flag in (False, True))
    assert (len(train), len(test)) == (1205, 130)
    counts = Counter(person for scene in train for person in scene.people)
    assert set(counts) == set(range(1, 301))
    assert set(counts.values()) == {12}
    assert {p for s in test for p in s.people} == set(range(301, 381))
    for part in (train, test):
        passers_by, known = sum(s.passers_by for s in part), sum(len(s.people) for s in part)
        assert 0.10 < passers_by / (passers_by + known) < 0.20
        assert set(Counter(s.camera for s in part)) == set(range(6))


@settings(deadline=None, max_examples=40)
@given(st.integers(4, 60), st.integers(1, 20), st.integers(0, 100))
def test_everybody_is_seen_by_two_cameras_and_once_per_picture(
    images: int, identities: int, seed: int
) -> None:
    try:
        config = SyntheticConfig(
            images=images,
            identities=identities,
            test_images=6,
            test_identities=2,
            queries=1,
            seed=seed,
        )
    except ValueError:
        assert max(4, round(3 * images / identities)) * identities / images > 8
        return
    scenes = [scene for scene in plan(config) if not scene.is_test]
    for person in range(1, identities + 1):
        met = [scene for scene in scenes if person in scene.people]
        assert len(met) == appearances(images, identities)
        assert len({scene.camera for scene in met}) >= 2
    assert all(len(set(scene.people)) == len(scene.people) for scene in scenes)
    assert len({scene.name for scene in plan(config)}) == images + 6


def test_colour_pairs_are_shared_but_people_differ() -> None:
    config = SyntheticConfig()
    for ids in (range(1, 301), range(301, 381)):
        looks = [look_of(config, person) for person in ids]
        pairs = Counter((look.top_colour, look.bottom_colour) for look in looks)
        assert min(pairs.values()) >= 4
        assert len(set(looks)) == len(looks)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'images': 0}, 'images is 0'),
        ({'width': 20}, 'width is 20; give at least 160'),
        ({'identities': 3000}, '3000 identities'),
        ({'queries': 4000}, '80 identities with 4000 queries'),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticConfig(**changes)


def photographs_of(count: int, seed: int = 0) -> list[tuple[int, bool, Path | None]]:
    """Camera, whether in the test, and photograph of 600 scenes."""
    scenes = [ScenePlan(k, f'{k}', k % 6, k // 6 % 2 == 1, (), 0) for k in range(600)]
    photographs = [Path(f'{k}.jpg') for k in range(count)]
    planned = with_photographs(SyntheticConfig(seed=seed), scenes, photographs)
    return [(scene.camera, scene.is_test, scene.photograph) for scene in planned]


@pytest.mark.parametrize(
    ('count', 'train', 'test'),
    [
        (50, [6, 6, 6, 6, 6, 6], [3, 3, 2, 2, 2, 2]),  # of nine, nine, eight, eight, ...
        (12, [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]),
    ],
)
def test_each_camera_has_photographs_of_its_own_and_others_in_the_test(
    count: int, train: list[int], test: list[int]
) -> None:
    used = set(photographs_of(count))
    number = Counter((camera, is_test) for camera, is_test, _ in used)
    assert [number[camera, False] for camera in range(6)] == train
    assert [number[camera, True] for camera in range(6)] == test
    assert len({photograph for *_, photograph in used}) == len(used) == count


def test_too_few_photographs_are_shared() -> None:
    used = {(camera, photograph) for camera, _, photograph in photographs_of(4)}
    assert len(used) == 6  # each camera one, the same in training and test
    assert len({photograph for _, photograph in used}) == 4


def test_the_seed_deals_the_photographs_out() -> None:
    assert photographs_of(20) == photographs_of(20)
    assert set(photographs_of(20)) != set(photographs_of(20, seed=1))
