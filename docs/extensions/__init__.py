"""What the site needs and Sphinx has not: see conf.py for what is turned on."""
