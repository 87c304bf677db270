"""`sys2ft doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rich.table import Column, Table

from sys2ft.terminal import Console, print_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Doctor:
    """Check this machine: versions, memory, disk, GPU, cache, and what is missing with the command for it.

    Ends with 1 if there is a problem, with which nothing would run.
    """

    json: bool = False
    """Print one JSON document instead of the table."""
    network: bool = False
    """Also check whether the model hub can be reached. Without it no connection is made."""

    def run(self) -> int:
        from sys2ft.checkup import examine, works

        findings = examine(network=self.network)
        if self.json:
            document = {"works": works(findings), "findings": [asdict(finding) for finding in findings]}
            print_json(json.dumps(document, ensure_ascii=False))
        else:
            table = Table(
                Column(no_wrap=True),
                Column(overflow="fold"),
                Column(overflow="fold"),
                box=None,
                pad_edge=False,
                show_header=False,
            )
            for finding in findings:
                table.add_row(finding.state, finding.topic, finding.said)
                if finding.fix:
                    table.add_row("", "", f"fix: {finding.fix}")
            Console().print(table)
        return int(not works(findings))
