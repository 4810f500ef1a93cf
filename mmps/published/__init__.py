"""Published models by name: what is known of each, and their files on this machine."""

from .fetching import MODELS_VARIABLE, model_folder
from .models import (
    PublishedModel,
    find_model,
    is_model_name,
    list_models,
    model_names,
    models_of_methods,
)

__all__ = [
    'MODELS_VARIABLE',
    'PublishedModel',
    'find_model',
    'is_model_name',
    'list_models',
    'model_folder',
    'model_names',
    'models_of_methods',
]
