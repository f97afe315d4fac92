"""The report of a replay as one HTML page, from the data that the replay has counted."""
