"""`firezone-filter logs`: reads logs of JSON lines and prints them for people.

From the bottom up: `time_keys` makes times comparable, `jq_text` writes JSON as jq does,
`splitter` finds lines in bytes, `entries` parses them, `source` does both for one file,
`following` keeps reading a file that grows, `reading` puts the entries of all files in order,
`selection` filters them, `printing` prints them, `invalid_lines` counts the lines that are not
JSON, `log_job` runs it all.
"""
