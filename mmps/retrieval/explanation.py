"""Why a search finds nobody."""

from __future__ import annotations

from .gallery import Gallery
from .records import Where


def why_nobody(gallery: Gallery, where: Where | None) -> str:
    """Why nobody passes a filter, as far as one part of it is enough to say so."""
    info = gallery.info()
    if not info.people:
        return 'the gallery is empty'
    reasons = ['nobody in the gallery passes the filter']
    where = where or Where()
    if where.cameras is not None and not set(where.cameras) & set(info.cameras):
        known = ', '.join(info.cameras) or 'none'
        reasons.append(f'cameras in the gallery: {known}')
    if where.sources is not None and not gallery.count(Where(sources=where.sources)):
        reasons.append('nobody was found in these files, or they have not been indexed')
    untimed = info.people - info.timed
    if (where.since is not None or where.until is not None) and untimed:
        reasons.append(f'of {untimed} of its {info.people} people the time is not known')
    return '; '.join(reasons)
