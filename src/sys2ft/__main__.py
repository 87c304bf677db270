"""`python -m sys2ft`."""

from sys2ft.cli.main import main

main()
