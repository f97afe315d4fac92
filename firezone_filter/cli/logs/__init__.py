"""`firezone-filter logs`: reads logs of JSON lines, and prints them for people.

From the bottom up: `times` makes times comparable, `values` writes JSON as jq does,
`splitter` finds lines in bytes, `entries` reads them, `source` takes both to a file,
`following` reads on as it grows, `reading` puts files in order, `choice` knows which entries
are asked for, `printing` prints them, `strays` remembers what was no JSON, `job` runs it all.
"""
