"""Proves what can be proved of deploy/ without a cluster and without a cloud; scripts/check-deploy runs it."""

import sys

import chart

for name, part in (("helm", chart),):
    try:
        said = part.check()
    except Exception as error:  # Whatever it is, the part has failed, and the others are still looked at.
        print(f"check-deploy: {name}: {type(error).__name__}: {error}", file=sys.stderr)
        raise
    print(f"check-deploy: {name}: {said}")
