"""Proves what can be proved of deploy/ without a cluster and without a cloud; scripts/check-deploy runs it."""

import importlib
import sys

# `pods` runs containers, and is left to the tests.
PARTS = {"chart": "helm", "terraform": "terraform", "roles": "ansible"}
MORE = {"pods": "pods", "pages": "pages", "node": "node"}

chosen = sys.argv[1:] or list(PARTS)
unknown = [part for part in chosen if part not in {**PARTS, **MORE}]
if unknown:
    sys.exit(f"check-deploy: there is no part {unknown[0]!r}; there are {', '.join({**PARTS, **MORE})}")
for part in chosen:
    print(f"check-deploy: {part}: {importlib.import_module(part).check()}")
