"""`sys2ft serve`: an OpenAI-compatible server over the base model and the adapters of a run."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sys2ft.cli.common import ModelOptions, reopen
from sys2ft.cli.signals import describe_stop
from sys2ft.errors import SettingsError
from sys2ft.runs import Display, display
from sys2ft.serve.settings import ServeSettings
from sys2ft.terminal import print, report

if TYPE_CHECKING:
    from sys2ft.serve import Catalogue, Service
    from sys2ft.serve.page import Launches, Site

_KEY = "SYS2FT_API_KEY"


@dataclass(frozen=True, kw_only=True, slots=True)
class Serve(ModelOptions):
    """Serve a run's adapters (extra `serve`): by OpenAI's API, as the models `base`, `base+news` (with the news in
    context) and every adapter; and on a page that shows their answers next to each other."""

    folder: Positional[Path]
    """Run folder, or a PEFT folder (then with --model)."""
    model: str | None = None
    """Base of a PEFT folder: a local folder or GGUF file, an embedded model, or a hub id."""
    ledger: Path | None = None
    """Folder of a ledger that the page shows."""
    studies: tuple[Path, ...] = ()
    """Folders of studies that the page shows."""
    page_runs: Path | None = None
    """Folder of the runs that are started from the page; None: next to FOLDER, with `-page` after its name."""
    serve: ServeSettings = ServeSettings()

    def run(self) -> int | None:
        try:
            self._run()
        except KeyboardInterrupt as stopped:
            report("sys2ft: the server has stopped.")
            return describe_stop(stopped)[1]
        return None

    def _run(self) -> None:
        settings = self.serve
        if settings.api_key is None and os.environ.get(_KEY):
            settings = replace(settings, api_key=os.environ[_KEY])
        try:
            from sys2ft.serve import Listening, Service, build_app, server_of
            from sys2ft.serve.page import PUBLIC
        except ImportError as error:
            raise SettingsError(
                f"a server, which cannot be imported: {error}",
                expected="the extra `serve`",
                fix="pip install 'sys2ft[serve]'",
            ) from error
        listening = Listening(settings)
        try:
            with display(self.quiet) as show:
                catalogue = self._catalogue(settings, show)
            service = Service(catalogue, settings)
            launches, site = self._page(service)
            app = build_app(service, extra_routes=site.routes, public=PUBLIC)
            ready = partial(_announce, listening.url, catalogue, site.best, settings.api_key is not None)
            service.start()
            try:
                server_of(service, app, ready).run([listening.socket])
            finally:
                launches.close()
                service.close()
        finally:
            listening.close()

    def _page(self, service: Service) -> tuple[Launches, Site]:
        from sys2ft.serve.page import Launches, Site

        folder = self.folder.resolve()
        launches = Launches(self.page_runs or folder.with_name(f"{folder.name}-page"), service.model)
        run = self.folder if self.model is None else None
        return launches, Site(service, launches, run=run, ledger=self.ledger, studies=self.studies)

    def _catalogue(self, settings: ServeSettings, show: Display) -> Catalogue:
        from sys2ft.serve import open_peft, open_run

        if (self.folder / "adapter_config.json").is_file():
            if self.model is None:
                raise SettingsError(
                    f"{self.folder} is a PEFT folder, and no --model was given",
                    expected="the base that the adapter was trained for",
                    fix=f"sys2ft serve {self.folder} --model MODEL (its adapter_config.json names one)",
                )
            return open_peft(self.folder, self.load(self.model, show), only=settings.only)
        if self.model is not None:
            raise SettingsError(
                f"--model {self.model}, and {self.folder} is not a PEFT folder",
                expected="--model with a PEFT folder only: a run folder records its model",
                fix="leave out --model, or give the folder of an adapter",
            )
        run, model = reopen(self.folder, show)
        return open_run(run, model, only=settings.only, whole=settings.news_in_context == "whole")


def _announce(url: str, catalogue: Catalogue, best: str | None, key: bool) -> None:
    """Print the address, the models, and a request to try."""
    names = list(catalogue.served)
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    if catalogue.left_out:
        report(f"left out: {', '.join(catalogue.left_out)} (refused by `sys2ft evaluate`, or moved away)")
    body = json.dumps({"model": best or names[-1], "messages": [{"role": "user", "content": "What is new?"}]})
    header = f' -H "Authorization: Bearer ${_KEY}"' if key else ""
    print(f"page      {url}/")
    print(f"address   {url}/v1")
    print(f"models    {shown}")
    print(
        f"try       curl {url}/v1/chat/completions -H 'Content-Type: application/json'{header} -d {shlex.quote(body)}"
    )
    print("stop      Ctrl-C", flush=True)
