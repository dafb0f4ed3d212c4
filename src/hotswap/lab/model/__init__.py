"""Memory models: what a load may return and when a store is seen. ``contract`` says what each must offer; ``by_name()`` finds one."""

import importlib

from .contract import Model

MODELS = {"sc": "Sequential", "tso": "StoreBuffers", "weak": "Views"}


def by_name(name: str) -> type[Model]:
    """The class of a model; a ValueError names those there are."""
    if name not in MODELS:
        raise ValueError(f"there is no memory model {name!r}; choose one of {', '.join(MODELS)}")
    return getattr(importlib.import_module(f"{__name__}.{name}"), MODELS[name])
