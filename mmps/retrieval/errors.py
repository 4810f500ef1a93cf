"""What can be wrong with a gallery."""

from mmps.utils.errors import UserError


class GalleryError(UserError):
    """A gallery that cannot do what it was asked for; the message names the cause and the fix."""


class ModelMismatchError(GalleryError):
    """The embeddings of a gallery were made by another model."""


class DamagedGalleryError(GalleryError):
    """What is stored is not what was written; the message names the damaged part."""


class MissingGalleryError(GalleryError):
    """There is none at the address."""

    def __init__(self, address: str) -> None:
        super().__init__(f'{address}: there is no gallery; index something into it first')
