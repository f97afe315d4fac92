"""JSON documents with faults that know their place; shared by policy files and the portal.

`faults` collects what is wrong and where, `nodes` gives readers values that know their place,
`parsing` makes nodes of JSON text, and `resource_json` and `filter_json` read and write resources
and their filters in the shape that policy files and portal messages share.
"""
