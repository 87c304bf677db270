"""The adapter added into its base: `W + alpha / r * B A` in float32, then the precision that was asked for."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

from sys2ft.errors import StorageError
from sys2ft.export.chosen import Chosen

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def write_merged(chosen: Chosen, folder: Path, *, dtype: str) -> None:
    """Write the merged model with its tokenizer into an existing folder.

    Raises ModelError if a sum is not finite in the precision that was asked for.
    """
    import torch
    from peft import PeftModel

    from sys2ft.models.convert import quiet_bars, read_model
    from sys2ft.models.load import require_finite

    with quiet_bars(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PEFT's calls into transformers
        base = read_model(chosen.base, dtype=torch.float32)
        merged: Any = PeftModel.from_pretrained(base, chosen.folder).merge_and_unload()
        target = getattr(torch, dtype)
        # Parameters only: buffers, such as rotary frequencies, lose too much in 16 bits.
        for parameter in merged.parameters():
            parameter.data = parameter.data.to(target)
        merged.config.dtype = target
        require_finite(merged, folder)
        merged.save_pretrained(folder)
    chosen.tokenizer.save_pretrained(folder)


def require_room(place: Path, size: float, what: str) -> None:
    """Raise StorageError if the file system of `place` has less than `size` bytes, with a tenth to spare."""
    existing = next(folder for folder in (place, *place.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free < size * 1.1:
        raise StorageError(
            f"{existing} has {free / 2**30:.2f} GiB free, and {what} needs about {size * 1.1 / 2**30:.2f} GiB",
            expected="room for the whole export; nothing was written",
            fix="free some space, or choose another disk with --out",
        )
