"""`python -m firezone_filter` is `firezone-filter`."""

from firezone_filter.cli import main

main()
