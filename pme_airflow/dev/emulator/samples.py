"""Sample models for an emulator."""

from __future__ import annotations

__all__ = ["sample_models"]

_NAMES = ("Harbour Loft", "Old Mill", "Garden Pavilion", "Gallery North", "Data Hall 3", "Chapel", "Studio 12")
_KNOWN = ("yyHDFKzPzvN", "SxQL3iGyoDo")


def sample_models(count: int) -> dict[str, str]:
    """Return the names of so many models, by id; the same ones for the same count."""
    ids = [_KNOWN[index] if index < len(_KNOWN) else f"demoSpace{index:02d}" if index < 100 else f"Space{index:06d}"
           for index in range(count)]  # fmt: skip
    return {model_id: f"{_NAMES[index % len(_NAMES)]} {index + 1}" for index, model_id in enumerate(ids)}
