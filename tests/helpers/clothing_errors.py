"""How often the colours of clothes are found, on rendered people whose colours are known.

``PYTHONPATH=tests python -m helpers.clothing_errors`` renders people who were not looked at while
the rules were made, finds them with ``quick-start`` and prints what docs/search.md says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from mmps.retrieval import COLOURS, clothing_colours
from mmps.retrieval.rows import unpack_colours
from mmps.synthetic.appearance import Appearance
from mmps.synthetic.dataset import render_scene
from mmps.synthetic.planning import SyntheticConfig, look_of, plan

from .walks import overlaps

TERMS = ('black', 'white', 'grey', 'blue', 'blue', 'red', 'green', 'yellow', 'brown', 'pink')
"""What the rows of the renderer's ``CLOTHES`` are called; navy is blue."""
WHITE = TERMS.index('white')
CONFIG = SyntheticConfig(images=4, identities=1, test_images=180, test_identities=120, seed=5)


@dataclass(frozen=True)
class Seen:
    """What somebody wears in one place, and what was found.

    Attributes:
        group: Camera, place and kind of garment, or whatever else is told apart.
        garment: The colour of the garment itself.
        worn: All colours that may be seen there, with patterns, what is under it and bags.
        found: The colours found.
    """

    group: tuple[str, ...]
    garment: str
    worn: frozenset[str]
    found: frozenset[str]


def upper_of(look: Appearance) -> tuple[str, frozenset[str], str]:
    """Colour, all colours and kind of what somebody wears above the waist."""
    numbers = {look.top_colour}
    if look.pattern != 'plain':
        numbers.add(look.accent)
    if look.top in ('open_jacket', 'suit', 'coat', 'hoodie'):
        numbers.add(look.inner)
    if look.top in ('suit', 'shirt'):
        numbers.add(WHITE)
    if look.bag in ('backpack', 'tote', 'messenger'):
        numbers |= {look.bag_colour, look.bag_accent}
    kind = 'backpack' if look.bag == 'backpack' else 'patterned'
    if kind == 'patterned' and look.pattern in ('plain', 'print', 'yoke'):
        kind = 'of one colour'
    return TERMS[look.top_colour], frozenset(TERMS[n] for n in numbers), kind


def lower_of(look: Appearance) -> tuple[str, frozenset[str], str]:
    """The same below the waist."""
    numbers, kind = {look.bottom_colour}, 'of one colour'
    if look.bottom == 'track_pants':
        numbers.add(look.accent)
    if look.is_dress or look.top == 'coat':
        kind = 'dress or coat'
        numbers |= {look.top_colour, *({look.accent} if look.pattern != 'plain' else {})}
    garment = look.top_colour if look.is_dress else look.bottom_colour
    return TERMS[garment], frozenset(TERMS[n] for n in numbers), kind


def rates(seen: Iterable[Seen]) -> tuple[int, float, float, float]:
    """Of how many people; share whose garment's colour was found; share of the colours that nobody
    wears there that were found all the same; colours found of each.
    """
    every = [*seen]
    right = [one.garment in one.found for one in every]
    strange = [name in one.found for one in every for name in COLOURS if name not in one.worn]
    count = float(np.mean([len(one.found) for one in every]))
    return len(every), float(np.mean(right)), float(np.mean(strange)), count


def see() -> list[Seen]:
    """Everybody of the rendered scenes, by true boxes and by those of ``quick-start``."""
    from mmps.apis import PersonSearcher

    searcher, seen = PersonSearcher('quick-start'), []
    for scene in plan(CONFIG)[CONFIG.images :]:
        drawn = render_scene(CONFIG, scene)
        jpeg = cv2.imencode('.jpg', drawn.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        known = drawn.person_ids >= 0
        boxes, ids = drawn.boxes[known], drawn.person_ids[known]
        detected = searcher.detect(image).bboxes
        overlap = overlaps(boxes, detected)
        pairs = np.transpose(linear_sum_assignment(-overlap))
        given = [('true box', person, box) for person, box in zip(ids, boxes, strict=True)]
        given += [
            ('detection', ids[row], detected[place])
            for row, place in pairs
            if overlap[row, place] >= 0.5
        ]
        texts = clothing_colours(image, np.array([box for *_, box in given]))
        for (by, person, _), text in zip(given, texts, strict=True):
            look = look_of(CONFIG, int(person))
            for part, of, names in zip(
                ('upper', 'lower'), (upper_of, lower_of), unpack_colours(text), strict=True
            ):
                garment, worn, kind = of(look)
                group = (by, part, kind, f'camera {scene.camera + 1}', garment)
                seen.append(Seen(group, garment, worn, frozenset(names)))
    return seen


if __name__ == '__main__':
    everybody = see()
    for parts in ((0, 1), (0, 1, 2), (0, 1, 3), (0, 1, 4)):
        groups = defaultdict(list)
        for one in everybody:
            groups[tuple(one.group[part] for part in parts)].append(one)
        for group, members in sorted(groups.items(), reverse=True):
            count, right, strange, names = rates(members)
            print(
                f'{", ".join(group)}: {count} people, colour found {right:.3f}, '
                f'strange colours {strange:.3f}, {names:.2f} colours each'
            )
