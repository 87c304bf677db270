"""Opening a pool by the name of its executor."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from sys2ft.errors import SettingsError
from sys2ft.executors.pool import Pool, Transport
from sys2ft.executors.settings import LOCAL, ExecutorSettings

_PACKAGES = {"ray": "ray", "slurm": "submitit"}


def require_executor(settings: ExecutorSettings) -> None:
    """Raise SettingsError if the package that an executor needs is not installed."""
    package = _PACKAGES.get(settings.executor)
    if package and find_spec(package) is None:
        raise SettingsError(
            f"--executor {settings.executor}, and the package {package} is not installed",
            expected=f"the package {package}",
            fix=f"pip install 'sys2ft[{settings.executor}]', or leave --executor out",
        )


@contextlib.contextmanager
def opened(
    settings: ExecutorSettings,
    out: Path,
    *,
    device: str = "auto",
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Pool | None]:
    """The pool of an executor, for work on the folder `out`; None: this process computes.

    Raises SettingsError for a cluster that cannot be reached or is too small.
    """
    if settings.executor == LOCAL:
        yield None
        return
    require_executor(settings)
    transport: Transport
    if settings.executor == "ray":
        from sys2ft.executors.ray_pool import RayTransport

        transport = RayTransport(settings.workers, address=settings.address, device=device)
    else:
        from sys2ft.executors.slurm_pool import SlurmTransport

        transport = SlurmTransport(settings.workers, out.absolute(), settings.slurm_parameters)
    try:
        pool = Pool(transport, settings.workers, note)
    except BaseException:
        transport.close()
        raise
    with pool:
        yield pool
