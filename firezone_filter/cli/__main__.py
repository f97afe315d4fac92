"""`python -m firezone_filter.cli` is `firezone-filter`."""

from firezone_filter.cli import main

main()
