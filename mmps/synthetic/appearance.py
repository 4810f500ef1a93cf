"""What a person wears: sampled once per identity, kept wherever the person appears."""

from dataclasses import dataclass, replace

import numpy as np

from mmps.synthetic.palette import CLOTHES, HAIRS, OUTFITS, SHOES, SKINS

TOPS = ('tshirt', 'sweater', 'shirt', 'hoodie', 'jacket', 'open_jacket', 'coat', 'vest', 'suit')
BOTTOMS = ('trousers', 'wide_trousers', 'track_pants', 'shorts', 'skirt', 'long_skirt')
PATTERNS = (
    'plain',
    'hoops',
    'pinstripes',
    'checks',
    'plaid',
    'dots',
    'print',
    'yoke',
    'band',
    'halves',
    'diagonal',
    'camouflage',
)
HAIR_STYLES = ('short', 'long', 'bun', 'ponytail', 'curly', 'bald', 'bob')
HATS = ('none', 'none', 'none', 'none', 'cap', 'beanie', 'brimmed', 'headscarf')
BAGS = ('none', 'none', 'backpack', 'backpack', 'messenger', 'handbag', 'tote')


@dataclass(frozen=True)
class Appearance:
    """Clothing and build of one person. Colours are row numbers of the shared palettes.

    Attributes:
        stature: Body height relative to the mean adult's.
        girth: Width of body and limbs relative to the mean.
        pattern_scale: Period of the pattern relative to its usual size.
    """

    stature: float
    girth: float
    skin: int
    hair: int
    hair_style: str
    beard: bool
    hat: str
    hat_colour: int
    top: str
    top_colour: int
    accent: int
    inner: int
    pattern: str
    pattern_scale: float
    contrast_sleeves: bool
    is_dress: bool
    bottom: str
    bottom_colour: int
    shoes: int
    bag: str
    bag_colour: int
    bag_accent: int
    scarf: bool


def _other(rng: np.random.Generator, taken: int) -> int:
    return int((taken + rng.integers(1, len(CLOTHES))) % len(CLOTHES))


def sample_appearance(rng: np.random.Generator, outfit: int) -> Appearance:
    """Dresses a person.

    Args:
        rng: Source of every choice but the colours of top and bottom.
        outfit: Any whole number; modulo the number of `OUTFITS` it picks the colour pair.

    Returns:
        The person's appearance.
    """
    top_colour, bottom_colour = OUTFITS[outfit % len(OUTFITS)]
    slim = rng.random() < 0.5
    styles = HAIR_STYLES if slim else ('short', 'short', 'curly', 'bald', 'short')
    bag_colour = int(rng.integers(len(CLOTHES)))
    return Appearance(
        stature=float(rng.uniform(0.88, 1.0) if slim else rng.uniform(0.94, 1.08)),
        girth=float(rng.uniform(0.82, 1.0) if slim else rng.uniform(0.95, 1.25)),
        skin=int(rng.integers(len(SKINS))),
        hair=int(rng.integers(len(HAIRS))),
        hair_style=str(rng.choice(styles)),
        beard=bool(not slim and rng.random() < 0.3),
        hat=str(rng.choice(HATS)),
        hat_colour=int(rng.integers(len(CLOTHES))),
        top=str(rng.choice(TOPS)),
        top_colour=top_colour,
        accent=_other(rng, top_colour),
        inner=_other(rng, top_colour),
        pattern=str(rng.choice(PATTERNS)),
        pattern_scale=float(rng.choice((0.75, 1.0, 1.4))),
        contrast_sleeves=bool(rng.random() < 0.2),
        is_dress=bool(slim and rng.random() < 0.2),
        bottom=str(rng.choice(BOTTOMS if slim else BOTTOMS[:4])),
        bottom_colour=bottom_colour,
        shoes=int(rng.integers(len(SHOES))),
        bag=str(rng.choice(BAGS)),
        bag_colour=bag_colour,
        bag_accent=_other(rng, bag_colour),
        scarf=bool(rng.random() < 0.12),
    )


def as_mannequin(look: Appearance) -> Appearance:
    """The same clothes on a bald shop-window figure without bag, hat or beard."""
    return replace(look, hair_style='bald', hat='none', bag='none', beard=False, scarf=False)
